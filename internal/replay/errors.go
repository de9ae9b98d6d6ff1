package replay

import "errors"

// Why there are no rows, or no recording.
var (
	ErrNoRecording = errors.New("replay: no recording")
	ErrNoRows      = errors.New("replay: no rows to record")
	ErrFirst       = errors.New("replay: the recording has no more than the first row")
	ErrTooLarge    = errors.New("replay: the rows pass the limits of the recorder")
	ErrBudget      = errors.New("replay: other recorders hold all that may be held at a time")
	ErrUnread      = errors.New("replay: the rows were closed before their end")
	ErrResultSets  = errors.New("replay: the query has several result sets")
	ErrValue       = errors.New("replay: the driver gives a value that is none of database/sql/driver")
	ErrTypes       = errors.New("replay: the driver tells other types of the columns from row to row")
)
