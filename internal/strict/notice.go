package strict

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNotice is the error of what is not written as the functions here write it.
var ErrNotice = errors.New("strict: what a broker has is not understood: is there something else under the same name?")

// written writes texts down one after the other, each with its length.
func written(kind string, texts ...string) string {
	b := []byte(kind)
	for _, text := range texts {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return string(b)
}

// cut reads so many texts.
func cut(from string, n int) (texts []string, err error) {
	rest := []byte(from)
	for range n {
		size, read := binary.Uvarint(rest)
		if read <= 0 || size > uint64(len(rest)-read) {
			return nil, ErrNotice
		}
		texts = append(texts, string(rest[read:read+int(size)]))
		rest = rest[read+int(size):]
	}
	if len(rest) > 0 {
		return nil, ErrNotice
	}
	return texts, nil
}

// Place is a seat as one word and a number, without its run: "" of the zero Seat.
func (s Seat) Place() string {
	if s == (Seat{}) {
		return ""
	}
	return strconv.FormatInt(s.Number, 10) + " " + s.Process
}

// SeatAt reads a Place.
func SeatAt(run, place string) (s Seat, err error) {
	number, process, ok := strings.Cut(place, " ")
	s.Run, s.Process = run, process
	if s.Number, err = strconv.ParseInt(number, 10, 64); err != nil || !ok {
		return s, fmt.Errorf("%w: %q stands for no member", ErrNotice, place)
	}
	return s, nil
}

// Text is an announcement as a broker keeps it.
func (a Announcement) Text() string { return written("", a.ID, a.Process, a.Tx, string(a.Batch)) }

// AnnouncementFrom reads a Text.
func AnnouncementFrom(text string) (a Announcement, err error) {
	texts, err := cut(text, 4)
	if err != nil {
		return a, err
	}
	return Announcement{ID: texts[0], Process: texts[1], Tx: texts[2], Batch: []byte(texts[3])}, nil
}

// Notice is what a broker sends to tell of an announcement.
func (a Announcement) Notice() string { return "B" + a.Text() }

// Notice is what a broker sends to tell of an acknowledgement.
func (a Acknowledgement) Notice() string {
	return written("A", a.Write, a.Seat.Run, a.Seat.Place())
}

// FinishedNotice is what a broker sends to tell of the end of a write.
func FinishedNotice(write string, end End) string { return written("E", write, strconv.Itoa(int(end))) }

// A broker makes the notice that a seat is gone itself: GonePrefix, the run, a blank, the Place.
const GonePrefix = "G"

// Tell tells a process of a notice. What is not understood is left out: it comes again with a
// renewal.
func Tell(to Listener, notice string) {
	if notice == "" {
		return
	}
	switch kind, rest := notice[:1], notice[1:]; kind {
	case "B":
		if a, err := AnnouncementFrom(rest); err == nil {
			to.Announced(a)
		}
	case "E":
		if texts, err := cut(rest, 2); err == nil {
			if end, err := strconv.Atoi(texts[1]); err == nil {
				to.Finished(texts[0], End(end))
			}
		}
	case "A":
		if texts, err := cut(rest, 3); err == nil {
			if seat, err := SeatAt(texts[1], texts[2]); err == nil {
				to.Acknowledged(Acknowledgement{Write: texts[0], Seat: seat})
			}
		}
	case GonePrefix:
		run, place, _ := strings.Cut(rest, " ")
		if seat, err := SeatAt(run, place); err == nil {
			to.Gone(seat)
		}
	}
}
