package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// listen takes in the stream until it ends.
func (s *session) listen(context.Context) error {
	for {
		msg, err := s.stream.Frontend.Receive()
		if err != nil {
			return fmt.Errorf("postgres: reading the stream: %w", err)
		}
		switch msg := msg.(type) {
		case *pgproto3.CopyData:
			if err := s.take(msg.Data); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("postgres: the stream has ended: %w", pgconn.ErrorResponseToPgError(msg))
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		default:
			return errors.New("postgres: the server has ended the stream")
		}
	}
}

// report tells the server how far the stream was read, so that it keeps no more of its log than it
// has to. With reply it is asked how far the stream is.
func (s *session) report(reply bool) error {
	s.mu.Lock()
	at := uint64(s.at)
	s.mu.Unlock()
	data := make([]byte, 0, 34)
	data = append(data, pglogrepl.StandbyStatusUpdateByteID)
	for range 3 { // written, written out, applied
		data = binary.BigEndian.AppendUint64(data, at)
	}
	data = binary.BigEndian.AppendUint64(data, uint64(time.Since(epoch).Microseconds()))
	data = append(data, 0)
	if reply {
		data[len(data)-1] = 1
	}
	message, err := (&pgproto3.CopyData{Data: data}).Encode(nil)
	if err != nil {
		return fmt.Errorf("postgres: reporting to the server: %w", err)
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.stream.Conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err = s.stream.Conn.Write(message); err != nil {
		return fmt.Errorf("postgres: reporting to the server: %w", err)
	}
	return nil
}

// epoch is where the server's time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// take takes in a message of the stream.
func (s *session) take(data []byte) error {
	if len(data) == 0 {
		return errors.New("postgres: an empty message of the stream")
	}
	s.mu.Lock()
	s.heard = time.Now()
	s.mu.Unlock()
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		alive, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return fmt.Errorf("postgres: a message of the stream: %w", err)
		}
		s.mu.Lock()
		s.reach(alive.ServerWALEnd)
		s.mu.Unlock()
		if alive.ReplyRequested {
			return s.report(false)
		}
		return nil
	case pglogrepl.XLogDataByteID:
		logged, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return fmt.Errorf("postgres: a message of the stream: %w", err)
		}
		if len(logged.WALData) == 0 {
			return errors.New("postgres: an empty message of the stream")
		}
		message, err := pglogrepl.Parse(logged.WALData)
		if err != nil {
			return fmt.Errorf("postgres: a message of the stream: %w", err)
		}
		return s.tell(message)
	}
	return fmt.Errorf("postgres: a message of the stream is not understood: it begins with %q", data[0])
}

// tell takes in what is told of a transaction.
func (s *session) tell(message pglogrepl.Message) error {
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		s.tx = transaction{xid: m.Xid}
	case *pglogrepl.RelationMessage:
		now, before := newRelation(m), s.relations[m.RelationID]
		if before != nil && !before.same(now) {
			s.tx.whole(m.RelationID, before.name)
			s.tx.whole(m.RelationID, now.name)
		}
		s.relations[m.RelationID] = now
	case *pglogrepl.InsertMessage:
		r := s.relations[m.RelationID]
		s.tx.add(m.RelationID, r, preload.RowInserted, nil, r.row(m.Tuple, 0))
	case *pglogrepl.UpdateMessage:
		r := s.relations[m.RelationID]
		now := r.row(m.NewTuple, 0)
		s.tx.add(m.RelationID, r, preload.RowUpdated, r.before(m, now), now)
	case *pglogrepl.DeleteMessage:
		r := s.relations[m.RelationID]
		s.tx.add(m.RelationID, r, preload.RowDeleted, r.row(m.OldTuple, m.OldTupleType), nil)
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			if r := s.relations[id]; r != nil {
				s.tx.whole(id, r.name)
			} else {
				s.tx.whole(id, "")
			}
		}
	case *pglogrepl.CommitMessage:
		s.commit(m.TransactionEndLSN)
	case *pglogrepl.OriginMessage, *pglogrepl.TypeMessage:
	default:
		return fmt.Errorf("postgres: a message of the stream is not understood: a %T", message)
	}
	return nil
}

// commit takes in a transaction whose commit is told.
func (s *session) commit(end pglogrepl.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tx.rows) > 0 {
		for i, id := range slices.Clone(s.tx.of) {
			row := &s.tx.rows[i]
			if t, known := s.tables[id]; !known || t.many {
				*row = preload.RowChange{} // it may be a part of any table
			} else {
				row.Within = t.within
				for _, name := range t.loose {
					s.tx.whole(id, name)
				}
			}
		}
		ended := s.m.Begin(s.m.Rows(s.tx.rows))
		if s.unguarded {
			ended(preload.EndVisible)
		} else {
			s.told = append(s.told, told{[]uint32{s.tx.xid}, ended})
			s.rouse()
		}
	}
	s.tx = transaction{}
	s.reach(end)
}

// transaction is what is told of one so far.
type transaction struct {
	xid  uint32
	rows []preload.RowChange
	of   []uint32        // the tables of rows
	all  map[uint32]bool // the tables of which one of rows says all; nil while rows are told one by one
	// bytes is about what the values of rows take.
	bytes int
}

const (
	// maxRows is how many rows of a transaction are told one by one, and maxBytes is how long their
	// values may be together.
	maxRows  = 1_000
	maxBytes = 16 << 20
	// maxValue is how long a value may be that is told; of a longer one nothing is known.
	maxValue = 4 << 10
)

// add adds what became of a row.
func (t *transaction) add(id uint32, r *relation, kind preload.RowKind, before, now []any) {
	if t.all[id] {
		return
	}
	row := preload.RowChange{} // of a table that is not known: anything
	if r != nil {
		row = preload.RowChange{Table: r.name, Kind: kind, Columns: r.columns, Old: before, New: now}
	}
	t.rows, t.of = append(t.rows, row), append(t.of, id)
	t.bytes += sizeOf(before) + sizeOf(now)
	if t.all == nil && len(t.rows) <= maxRows && t.bytes <= maxBytes {
		return
	}
	rows, of := t.rows, t.of
	t.all, t.rows, t.of = map[uint32]bool{}, nil, nil
	for i, row := range rows {
		t.whole(of[i], row.Table)
	}
}

// sizeOf returns about what values take.
func sizeOf(values []any) (n int) {
	for _, v := range values {
		n += 16
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		case preload.RowText:
			n += len(v)
		}
	}
	return n
}

// whole adds that a table was changed in any way.
func (t *transaction) whole(id uint32, name string) {
	row := preload.RowChange{Table: name, Kind: preload.RowsChanged}
	for i, known := range t.rows {
		if known.Kind == row.Kind && known.Table == name && t.of[i] == id {
			return
		}
	}
	t.rows, t.of = append(t.rows, row), append(t.of, id)
	if t.all != nil {
		t.all[id] = true
	}
}

// relation is a table as the stream describes it.
type relation struct {
	name     string
	identity byte // d: the primary key, i: an index, f: the whole row, n: none
	columns  []string
	types    []uint32
	key      []bool
}

func newRelation(m *pglogrepl.RelationMessage) *relation {
	r := &relation{name: m.RelationName, identity: m.ReplicaIdentity}
	for _, c := range m.Columns {
		r.columns, r.types, r.key = append(r.columns, c.Name), append(r.types, c.DataType), append(r.key, c.Flags&1 != 0)
	}
	return r
}

func (r *relation) same(other *relation) bool {
	return r.name == other.name && r.identity == other.identity && slices.Equal(r.columns, other.columns) &&
		slices.Equal(r.types, other.types) && slices.Equal(r.key, other.key)
}

// row returns the values of a row. Of one that stands for a key, the others are not known.
func (r *relation) row(t *pglogrepl.TupleData, as uint8) []any {
	if r == nil || t == nil || len(t.Columns) != len(r.columns) {
		return nil
	}
	values := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		if as == pglogrepl.UpdateMessageTupleTypeKey && !r.key[i] {
			values[i] = preload.RowUnknown
			continue
		}
		values[i] = value(r.types[i], c)
	}
	return values
}

// before returns what is known of a row before an update. Where the stream does not tell the key,
// the update has not changed it.
func (r *relation) before(m *pglogrepl.UpdateMessage, now []any) []any {
	if r == nil || m.OldTuple != nil {
		return r.row(m.OldTuple, m.OldTupleType)
	}
	if now == nil || r.identity != 'd' && r.identity != 'i' {
		return nil
	}
	before := make([]any, len(now))
	for i := range before {
		before[i] = preload.RowUnknown
		if r.key[i] {
			before[i] = now[i]
		}
	}
	return before
}

// value returns a value as package preload takes it. Of some types equal values have equal texts,
// or texts that package preload takes for equal; of others it is left open.
func value(of uint32, c *pglogrepl.TupleDataColumn) any {
	switch c.DataType {
	case pglogrepl.TupleDataTypeNull:
		return nil
	case pglogrepl.TupleDataTypeToast:
		return preload.RowUnchanged
	case pglogrepl.TupleDataTypeText:
	default:
		return preload.RowUnknown
	}
	if len(c.Data) > maxValue {
		return preload.RowUnknown
	}
	switch of {
	case pgtype.BoolOID:
		return len(c.Data) == 1 && c.Data[0] == 't'
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.UUIDOID:
		return string(c.Data)
	case pgtype.ByteaOID:
		if len(c.Data) >= 2 && c.Data[0] == '\\' && c.Data[1] == 'x' {
			if b, err := hex.DecodeString(string(c.Data[2:])); err == nil {
				return b
			}
		}
	}
	return preload.RowText(c.Data)
}
