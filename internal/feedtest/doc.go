// Package feedtest has the tests that every preload.Feed passes, and feeds in memory that connect
// plugins of one process. Its one job is to say what a feed promises, in a form that can be run: a
// strict one, that no plugin serves what another one has changed; a bounded one, that none serves
// it for longer than its bound.
package feedtest
