// Package ordinary knows which names of no model are those of ordinary tables, whose rows change by
// statements that name them and in no other way. It has the database asked, once for each name and
// once more whenever a statement may have made another thing of it.
//
// What it guards: a name counts as one only if the database said so of what is there now. It is no
// view and no part of a partitioned or inherited table; no rule, trigger, cascading foreign key or
// virtual table writes to it; no temporary table stands before it. What cannot be told is none.
//
// Tables are safe for concurrent use.
package ordinary
