// Package bench puts the plugin side by side with what an application would do instead: plain GORM,
// with prepared statements and on other databases; a cache-aside written by hand; and with the
// floor of what any plugin can reach.
//
//	go test -bench . ./...                # in the form that benchstat compares
//	go run ./report                       # all in turns of about a millisecond, as a table
//	go run ./report -only W1,W3 -rounds 1000 -o table.md
//	go run ./shop                         # a whole web shop, and how much of what could be served from memory is
//	go run ./live                         # what loading ahead gives and costs by the wall clock
//
// What report measures is in the package workload, how in the package measure.
package bench
