// Package simulate plays workloads to the real plugin, with its worker, in time that passes only
// where the plugin and the application wait: for how useful it is to load ahead, there is nothing
// to measure that the speed of a machine could change.
//
//	go test -v -run Trace -timeout 0 ./simulate -accesses-in FILE -capacity 1000,5000 -latency 1,5,20
//	go test -v -run Shop -timeout 0 ./simulate -transitions FILE
//	go test -v -run Poisoned ./simulate
//
// Without flags the simulations are short, play a trace and a shop that are made up, and check what
// has to be true of any machine.
package simulate
