package prediction

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
)

// Keys are kept packed: an integer as its bytes and a UUID as its 16, in the forms in which texts
// of bind values have them, "i12345;" and "s36:" with the UUID and ";". All else is kept as it is,
// so that any text comes out as it went in.
const (
	packedInteger = 0x80 // and how many bytes it has; they follow
	packedUUID    = 0x90 // 16 bytes follow
	longestPlain  = 0x7f // else: so many bytes follow that are kept as they are

	textOfUUID = len("s36:00000000-0000-0000-0000-000000000000;")
)

// pack appends a text to into, packed.
func pack(into []byte, text string) []byte {
	plain := 0 // what is kept as it is begins here
	flush := func(to int) {
		for plain < to {
			n := min(to-plain, longestPlain)
			into = append(append(into, byte(n)), text[plain:plain+n]...)
			plain += n
		}
	}
	for i := 0; i < len(text); {
		if text[i] == 'i' {
			if n, length := integerIn(text[i:]); length > 0 {
				flush(i)
				size := (bits.Len64(n) + 7) / 8
				var all [8]byte
				binary.LittleEndian.PutUint64(all[:], n)
				into = append(append(into, packedInteger|byte(size)), all[:size]...)
				i += length
				plain = i
				continue
			}
		}
		if text[i] == 's' && len(text)-i >= textOfUUID {
			if id, ok := uuidIn(text[i : i+textOfUUID]); ok {
				flush(i)
				into = append(append(into, packedUUID), id[:]...)
				i += textOfUUID
				plain = i
				continue
			}
		}
		i++
	}
	flush(len(text))
	return into
}

// integerIn returns the integer at the beginning of a text, and the length of its text; 0 where
// there is none that would come out in the same digits.
func integerIn(text string) (n uint64, length int) {
	const most = 19 // digits, so that nothing overflows
	end := 1
	for end < len(text) && end <= most && text[end]-'0' <= 9 {
		n = 10*n + uint64(text[end]-'0')
		end++
	}
	if end == 1 || end >= len(text) || text[end] != ';' || text[1] == '0' && end > 2 {
		return 0, 0
	}
	return n, end + 1
}

// uuidIn returns the UUID of a text as long as textOfUUID, false where it is none.
func uuidIn(text string) (id [16]byte, ok bool) {
	const before = "s36:"
	if !strings.HasPrefix(text, before) || text[len(text)-1] != ';' {
		return id, false
	}
	digits := 0
	for i := len(before); i < len(text)-1; i++ {
		switch at, c := i-len(before), text[i]; {
		case at == 8 || at == 13 || at == 18 || at == 23:
			if c != '-' {
				return id, false
			}
			continue
		case c-'0' <= 9:
			id[digits/2] = id[digits/2]<<4 | (c - '0')
		case c-'a' <= 5:
			id[digits/2] = id[digits/2]<<4 | (c - 'a' + 10)
		default:
			return id, false
		}
		digits++
	}
	return id, true
}

// unpack appends to into the text that was packed.
func unpack(into, packed []byte) []byte {
	for len(packed) > 0 {
		head := packed[0]
		packed = packed[1:]
		size := int(head)
		switch {
		case head == packedUUID:
			size = 16
			into = append(into, "s36:"...)
			for i, b := range packed[:size] {
				if i == 4 || i == 6 || i == 8 || i == 10 {
					into = append(into, '-')
				}
				into = append(into, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
			}
			into = append(into, ';')
		case head >= packedInteger:
			size = int(head &^ packedInteger)
			var all [8]byte
			copy(all[:], packed[:size])
			into = strconv.AppendUint(append(into, 'i'), binary.LittleEndian.Uint64(all[:]), 10)
			into = append(into, ';')
		default:
			into = append(into, packed[:size]...)
		}
		packed = packed[size:]
	}
	return into
}
