package hotfile

// Version is that of the format, and of what shapes are made of.
const Version = 3

// What a file of hot keys may hold. SaveHot leaves out what is beyond, LoadHot reads no further.
const (
	MaxFile = 64 << 20  // bytes
	MaxPart = 128 << 10 // bytes of one query or key
	MaxList = 256 << 10 // bytes of the file that one process shares with others
)

// File is what SaveHot writes: queries, and the keys of the hottest of them, never values of
// answers.
type File struct {
	Version int     `json:"preload"`
	Dialect string  `json:"dialect"`
	Queries []Query `json:"queries"`
	Keys    []Key   `json:"keys"` // hottest first
}

// Query is a template.
type Query struct {
	Model    string   `json:"model"` // its type, with its package
	Dest     string   `json:"dest"`  // the type of the destination
	Table    string   `json:"table"`
	SQL      string   `json:"sql"`
	Prepared bool     `json:"prepared,omitempty"` // before it is sent
	Shape    []byte   `json:"shape"`              // without the types, which each process numbers in its own way
	Args     int      `json:"args"`               // in a key
	Tail     [][]byte `json:"tail"`               // the bind values that are not among them

	Damaged bool `json:"-"` // it was not what SaveHot writes
}

// Key is a key of one of the queries.
type Key struct {
	Query int    `json:"query"` // its place among them
	Args  []byte `json:"args"`
	// Score is how hot the key is, as the scorer of the process has it. 0 says nothing.
	Score float64 `json:"score,omitempty"`
}

// KeyOverhead is more than what is around the args of a key in the file, before they are in
// base64.
const KeyOverhead = 64

// Size is about what a query takes in the file, before it is in base64.
func (q *Query) Size() int {
	n := len(q.Model) + len(q.Dest) + len(q.Table) + len(q.SQL) + len(q.Shape) + KeyOverhead
	for _, arg := range q.Tail {
		n += len(arg)
	}
	return n
}
