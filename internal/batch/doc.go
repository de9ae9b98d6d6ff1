// Package batch writes changes down for other processes, and reads them back.
//
// A batch is a list of changes, each with a sum of how its writer's model reads the table. It holds
// no answers: values of columns are in it as package coherence compares them, which is folded and
// cut off. The first byte is the version of the format. A Seal encrypts and authenticates batches
// with a secret that the processes share.
//
// What the package guards: a batch that was cut off, altered, written in another version or under
// another secret is an error, never a panic and never fewer changes than its writer meant; what is
// read takes memory in proportion to the batch. Whoever gets an error takes the batch for a change
// of everything.
//
// All functions, and a Seal, are safe for concurrent use.
package batch
