// Package optin knows which models are opted in, and how the answers of each are treated: by an
// option, by the tag of its struct, by the model that declared it where it is a join table of
// GORM's own making, or as all models are that have neither.
//
// Models are those that were met: the first that is asked of one (Of) has the catalog learn its
// table and its relations. A Policy says how answers are treated.
//
// What the package guards: a model whose tag is wrong is an error that names the model, the setting
// and the value, and is never taken for one without a tag; and a value that leads to no model is
// an error that does not show what the value holds.
//
// Models are safe for concurrent use. What is known of a model does not change, and is looked up
// without a lock.
package optin
