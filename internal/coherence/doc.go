// Package coherence decides which answers a change can have made wrong.
//
// It keeps, for every answer that is stored or being loaded, a Guard: alive while the answer may be
// served or stored, dead for ever once a change could have touched it. Guards stand in Groups: the
// answers of one query shape, which read the same tables in the same way.
//
// A change is announced before the database can make it visible and finished after it has.
// Announcing kills the guards that it could touch; until it is finished no new guard that it could
// touch is given out. So:
//
//   - an answer that is served was alive at some moment at which no change that could touch it was
//     under way or done since it was read: it is what the database would have said at that moment;
//   - an answer read from the database while a change was becoming visible, which may be either the
//     old or the new one, is never kept.
//
// Killing only after the change would let one reader see the new value (from the database) and a
// later reader the old one (from memory).
//
// # What a change cannot touch
//
// A Reading says what is known of the way in which answers depend on one table, a Change what is
// known of a write to it. What neither knows could be anything. A change leaves an answer alone
// where one of these holds, and kills it otherwise.
//
//	rule       the change                                  why it is sound
//	---------  ------------------------------------------  ------------------------------------------------------
//	table      is to a table that the answer does not      an answer is a function of the rows of its tables
//	           read
//	columns    updates, and sets none of Reading.Columns   it is a function of these columns of the rows, and of
//	                                                       which rows there are; an update makes and removes none
//	value      inserts a row, or leaves an updated one,    the rows of the answer all have one of the pinned
//	           with a value in a pinned column that is     values; a row that has none is not in it. Rows that
//	           none of the answer's; and if it updates or  are not in it before and not in it afterwards do not
//	           deletes, chose rows that were not in the    matter
//	           answer before, by this rule or the next
//	row        updates or deletes rows of known keys, of   an answer whose Reading has Rows shows the keys of all
//	           which the answer shows none, or any rows    rows that it was made of. Under a limit other rows
//	           while it shows none at all; and if it       satisfy the condition too, but stay out: Choosing
//	           updates, sets none of Reading.Choosing and  and Cutting decide which rows are shown
//	           Cutting, or leaves values as in the rule
//	           above
//	cut        updates rows as in the rows above, and of   an answer with fewer rows than its limit shows all
//	           Cutting what it likes, while the answer is  that satisfy its condition, whatever their order. It
//	           shorter than its limit                      stays as short until a row comes in or leaves, which
//	                                                       kills it
//	key        inserts, while the answer pins whole        primary keys are unique: no other row can have a
//	           primary keys and shows a row for each of    pinned one until that row is deleted or its key is
//	           them                                        changed, which kills the answer
//
// Each rule says of one change that the answer and the rows that it shows are the same after it as
// before, whatever the table holds. So they are after any number of such changes, in whatever order
// these become visible.
//
// Values are compared only as equal texts: whoever makes a Value sees to it that two of one column
// which the database may take for equal are equal Values. A value of which that cannot be said is
// left out, and counts as any value. Two that the database tells apart may be equal Values, too; so
// a list has one for each that the statement names, and the key rule asks for as many different
// rows.
//
// # Time
//
// A change looks at each Group of its table once: at most of them with a glance, by bits of columns
// and a sieve of marks. In the others it looks only at the answers that share a row or a pinned
// value with it, found by hash; at all of a Group's only where nothing narrower is known of the
// change. Nothing is kept of values but their hashes: two that are equal by accident make a change
// kill more than it must.
//
// # Locks
//
// A Group and its guards are guarded by the lock of one table, its home. A search lets that lock go
// after each portion of its work, so that nobody waits for long whatever a change kills. Nobody
// slips through meanwhile:
//
//   - a change is pending for its table before its search begins, and an answer is linked before it
//     asks what is pending. Of a lease and a change that meet, one sees the other;
//   - an answer that is filled leaves the lists of what is not known for lists of values, through
//     which a search goes later; and what more is known of it makes fewer changes touch it;
//   - what is new comes in at the heads of lists and the ends of slices, a search goes the other
//     way: it comes by all that was there, and is not kept going by what comes;
//   - a table counts the answers that read it and have another home. It counts them before they are
//     linked, and until they have been unlinked: a search of the table finds the homes of all that
//     there are.
//
// Lock order: the lock of an Announcement comes before the locks of tables. Locks of tables are
// leaves among each other: no two are held at once, and nothing is called while one is held. Guards
// are checked without a lock. Who leases a guard again has it alone.
package coherence
