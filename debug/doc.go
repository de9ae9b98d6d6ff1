// Package debug shows what a preload plugin does: a page for a browser, and the same as JSON.
//
//	mux.Handle("/debug/preload", debug.NewHandler(plugin))
//
// The page needs neither a script nor anything from elsewhere, and says so to the browser
// (Content-Security-Policy). It shows statements without their values, and sums in place of keys,
// unless WithValues is given. It changes nothing, unless WithActions is given.
//
// Who sees the page learns the names of tables and columns, and how much the application is used:
// serve it where only those can reach it who may know that.
package debug
