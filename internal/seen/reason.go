package seen

import "strings"

// Reason is why a read went to the database untouched, in the words of the statistics.
type Reason string

// The reasons.
const (
	ReasonError       Reason = "error"            // the statement had failed before
	ReasonDryRun      Reason = "dry run"          // nothing is to be asked
	ReasonRaw         Reason = "raw SQL"          // the statement was given as SQL, without WithRaw or Cache
	ReasonRows        Reason = "rows"             // Row, Rows and Scan that cannot be kept
	ReasonNoModel     Reason = "no model"         // the statement has no model, and its table none that is opted in
	ReasonNoPolicy    Reason = "no policy"        // the model of the table is not opted in, or one that is read is opted out
	ReasonBadTag      Reason = "bad tag"          // the model's tag is wrong, which is an error, too
	ReasonTransaction Reason = "transaction"      // a transaction reads the database, but for what WithTransactionReads allows
	ReasonOwnWrites   Reason = "own writes"       // what its transaction wrote could show in the answer
	ReasonPool        Reason = "other pool"       // a connection or pool that is not the plugin's
	ReasonAsked       Reason = "asked"            // Bypass, or ContextWithBypass
	ReasonContext     Reason = "context done"     // the statement's context has ended
	ReasonLocking     Reason = "locking"          // FOR UPDATE and the like
	ReasonResolver    Reason = "dbresolver"       // a choice of dbresolver
	ReasonDest        Reason = "destination"      // of a kind that cannot be copied
	ReasonArgs        Reason = "args"             // bind values that cannot be told apart
	ReasonLong        Reason = "long statement"   // of more text than is remembered, such as a list of tens of thousands of ids
	ReasonVolatile    Reason = "volatile"         // a function or value that changes by itself
	ReasonFunction    Reason = "unknown function" // a function that may write, or give a new value each time
	ReasonTable       Reason = "unknown table"    // a table of no model in use, which may be a view
	ReasonNotPlain    Reason = "not a plain read" // the statement may do more than read
	ReasonTooLarge    Reason = "too large"        // its answer was too large to be kept when it was asked for lately
	ReasonNotKeepable Reason = "not keepable"     // its answer holds what cannot be copied, such as a channel
	ReasonFault       Reason = "fault"            // in the plugin, see the log
	ReasonOff         Reason = "off"              // the plugin is in ModeOff
	ReasonWithdrawn   Reason = "withdrawn"        // answers of the model were wrong, so that WithVerify switched it off
)

// Advice returns what would have such reads served, "" where nothing would.
func (r *UnservedRow) Advice() string {
	switch Reason(r.Reason) {
	case ReasonRaw:
		return "give WithRaw, or Clauses(preload.Cache()) for this query; or write it with Find, First or Count"
	case ReasonRows:
		return "read the rows to their end, or use Find, First, Pluck, Count or Scan"
	case ReasonNoModel:
		return "name the model: db.Model(&User{})"
	case ReasonNoPolicy:
		return "opt the model in: a field _ struct{} `preload:\"\"`, or WithPolicy"
	case ReasonBadTag:
		return "mend the model's tag: Register tells what is wrong"
	case ReasonTransaction:
		return "give WithTransactionReads, or read outside of the transaction what need not be part of it"
	case ReasonOwnWrites:
		return "read before the write what need not show it"
	case ReasonPool:
		return "use the *gorm.DB that the plugin was given to"
	case ReasonContext:
		return "give the query more time: its context had ended before it began"
	case ReasonDest:
		return "read into a struct, a slice of structs or a map"
	case ReasonArgs:
		return "give plain bind values: numbers, texts, times"
	case ReasonLong:
		return "ask for fewer values at a time"
	case ReasonVolatile:
		return "give the time as a bind value, and round it: to the minute, say"
	case ReasonFunction:
		return "name the function in WithFunctions if it only computes something from its arguments, or compute it in Go"
	case ReasonTable:
		return "use the model of each table in a query first, or Register it; name a view and what it reads in Clauses(preload.Cache(preload.Tables(...)))"
	case ReasonTooLarge:
		return "ask for fewer rows with Limit, or raise WithMaxRows or WithMaxBytes"
	case ReasonNotKeepable:
		return "read into types without channels and functions"
	case ReasonFault:
		return "see the log"
	case ReasonOff:
		return "SetMode(ModeOn)"
	case ReasonWithdrawn:
		return "find who writes past the plugin, then SetMode(ModeOn)"
	case ReasonNotPlain:
		if strings.Contains(strings.ToLower(r.SQL), " for ") {
			return ""
		}
		return "write what it reads as a plain SELECT"
	}
	return ""
}
