// Package asked has the database asked about names, in the background: once for each name, and once
// more whenever a statement may have made another thing of it.
//
// What it guards: what is known of a name the database said of what is there now.
//
// Names are safe for concurrent use. Their lock is a leaf.
package asked
