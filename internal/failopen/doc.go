// Package failopen sees to it that a fault, in the plugin or in what an application plugs into it,
// costs no result: the database answers instead.
//
// Guard runs a part of the plugin and logs a panic in it. Store, Scorer, Clock and Origin stand
// around what the application brings: one that panics or blocks counts as one that has forgotten,
// or that says nothing. Reporter is the only way to the application's logger: it writes one line an
// event and shape a minute, and PlainError and Plain say of an error what no bind value can be in.
//
// All types are safe for concurrent use. Their locks are leaves: nothing is called while one is
// held, except that Store counts under its own what it missed.
package failopen
