// Package worldtest has the words that the tests of the plugin share. Its one job is to have one
// name for each of them: the models and their rows, the world in which a test runs, the forms of
// reads and writes, and the answer that is compared with plain GORM's.
//
// There are three sets of models. Those whose names begin with Read are for what GORM scans, those
// that begin with Write for what a write reaches, those that begin with Diff for what is drawn. The
// tables of each set are its own, so that a test may use several sets; SeedReads, SeedWrites and
// SeedDiffs fill the tables.
//
// A Query is asked of any handle and gives an Answer; Differs says in what two answers differ. A
// World is a database with a handle that has the plugin and a plain one, so that a test asks both:
//
//	d := dbtest.SQLite(t)
//	plain := worldtest.MigrateWrites(t, d)
//	worldtest.SeedWrites(t, plain)
//	w := worldtest.Open(t, d, plain, nil)
//	users := worldtest.List[worldtest.WriteUser](worldtest.ByID)
//	users.Ask(w.DB) // is kept now
//	worldtest.Must(t, w.DB.Delete(&worldtest.WriteUser{ID: 1}).Error)
//	worldtest.Equal(t, "after the deletion", "users", users.Ask(w.DB), users.Ask(w.Plain))
//
// A Form is one way to write, and CheckForms compares every answer after it. A Draw draws reads and
// writes with everything in them. What a test has of the plugin's insides, such as a check of the
// whole cache, it gives to CheckForms as an Opener: this package sees what an application sees.
package worldtest
