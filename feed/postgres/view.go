package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// view is a snapshot: which transactions are visible, of those that are committed.
type view struct {
	over, end uint64   // all before over have ended, and none from end on
	open      []uint64 // those of between that have not
}

// parseView reads a pg_snapshot: xmin:xmax:xid,xid.
func parseView(text string) (v view, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return v, fmt.Errorf("postgres: the snapshot %q is not understood", text)
	}
	number := func(text string) uint64 {
		n, wrong := strconv.ParseUint(text, 10, 64)
		err = errors.Join(err, wrong)
		return n
	}
	v.over, v.end = number(parts[0]), number(parts[1])
	if parts[2] != "" {
		for _, xid := range strings.Split(parts[2], ",") {
			v.open = append(v.open, number(xid))
		}
	}
	return v, err
}

// opened returns the transactions that are open, as an array.
func (v view) opened() string {
	texts := make([]string, len(v.open))
	for i, xid := range v.open {
		texts[i] = strconv.FormatUint(xid, 10)
	}
	return "{" + strings.Join(texts, ",") + "}"
}

// String returns the snapshot as a pg_snapshot.
func (v view) String() string {
	return fmt.Sprintf("%d:%d:%s", v.over, v.end, strings.Trim(v.opened(), "{}"))
}

// shows reports whether a transaction is visible that a stream tells to be committed: by the lower
// half of its number, which is less than half of all numbers away.
func (v view) shows(xid uint32) bool {
	return int32(xid-uint32(v.end)) < 0 && !slices.ContainsFunc(v.open, func(open uint64) bool { return uint32(open) == xid })
}

// showsAllOf reports whether all is visible that another snapshot shows.
func (v view) showsAllOf(other view) bool {
	return other.end <= v.end && !slices.ContainsFunc(v.open, func(xid uint64) bool {
		return xid < other.end && !slices.Contains(other.open, xid)
	})
}
