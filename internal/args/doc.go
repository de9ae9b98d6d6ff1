// Package args has the bind values of queries as keys hold them: written, split, read back, and
// kept.
//
// The args of a key are one text, the bind values one after the other in the order in which the
// clauses have them. Each tells its type and its own end, so that two lists of bind values have the
// same text only if drivers treat them alike:
//
//	i-5;            an integer, of any size               y; x;     true, false
//	u9223...;       one above the largest int64           n; N;     nil, nil bytes
//	f3ff8...;       a float64, by its bits                s3:a;b;   a text of three bytes
//	gf3ff8...;      a float32                             b2:..;    bytes
//	t1.5@3600;      a time: seconds, nanoseconds, offset; ,CET before the end where its zone has a name
//	#1a2b;i5;       an integer of a named type, by the type's identity in this process
//	p1:a; w1:a;     the partition, and what others have put around the connection: no bind values
//
// From Long bytes on a key has the SHA-256 of the text instead.
package args
