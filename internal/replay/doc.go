// Package replay records what a query gave while an application reads it, and gives it again as
// real *sql.Rows: to Rows.Scan, ColumnTypes and all else, they are those of the database.
//
// It has one job: rows from a recording tell an application the same as the rows of the query did,
// byte for byte and type for type. It guards that
//
//   - only whole answers are recordings: of rows that were read to their end, and closed, without
//     an error. Nothing is read that the application does not read.
//   - a Recording never changes, and no reader shares memory with it that can be written.
//   - rows leave nothing behind: no goroutine and no connection once they are closed.
//
// A Recorder is put between driver and application in one of two places: Tee below database/sql,
// for a driver of one's own, and Rows above it, where the driver is somebody else's. In the second
// case the application reads a live *sql.Rows through another *sql.Rows.
//
//	Rows    database/sql -> replayed -> Recording
//	Tee     database/sql -> tee -> the driver's rows
//	Rows    database/sql -> tee -> live -> database/sql -> the driver's rows
//	of a Recorder
//
// Rows that cannot be given again as they were pass through the recorder, and are refused:
//
//	of several result sets         ErrResultSets
//	with values of other types     ErrValue: what a pointer, a slice or a cursor leads to can be
//	than nil, numbers, bool,       changed by whoever has it
//	string, []byte and time.Time
//	whose columns have types that  ErrTypes. A driver is asked for the types before the first row,
//	differ from row to row         and again at the first value of each Go type in a column:
//	                               some drivers tell the type of the value in the present row
//
// What else differs from the driver's own rows:
//
//   - A cursor read through Recorder.Rows is rows of this package where it is scanned into an any.
//     Into *sql.Rows, as is usual, it is what it was.
//   - Rows of a transaction, read through Recorder.Rows, notice the end of the transaction at their
//     next Next. Those of a context notice its end at any time, as ever.
//   - Bytes that an application keeps without a copy, against the rules of RawBytes and Scanner,
//     stay as they were, where some drivers would write over them.
//   - Rows that scan by themselves, as versions of Go after 1.26 let a driver do, are scanned by
//     the rules of database/sql instead. They are neither for Tee nor for Recorder.Rows.
//
// There are no locks here but those of database/sql, and nothing has to be closed but rows.
package replay
