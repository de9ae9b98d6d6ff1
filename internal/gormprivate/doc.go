// Package gormprivate reads of GORM what its public API does not tell. Where a version of GORM
// keeps it elsewhere, the answer is the one that takes the longer way, and a test of this package
// fails.
//
// QueryChain finds the callbacks of queries and tells whether they changed. HasScopes tells whether
// a statement has scopes, OwnCallback whether a callback of writes or of rows is GORM's own. CodeOf
// and MemoryOf compare two functions, and two lists of texts, quickly. All but Init of QueryChain
// are safe for concurrent use.
package gormprivate
