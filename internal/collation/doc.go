// Package collation knows by which collations MySQL and MariaDB compare the texts of tables. It has
// the database asked, once for each table and once more whenever a statement may have altered one.
//
// What it guards: texts of a column count as told apart only if the database said, of the table
// that is there now, that its collation is one of a known list. By each of these, two texts of
// printable ASCII are equal only if they differ in nothing but case and blanks at their ends. A
// language's own collation is none of them: some take "ch" for one letter, or "aa" for another.
//
// Tables are safe for concurrent use.
package collation
