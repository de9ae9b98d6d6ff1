// Package hotfile is the file of hot keys: what is in it, how it is read, how one file takes the
// place of another, and how the files of several processes become one.
//
// What it guards: whatever a file holds, reading it takes bounded time and memory and never panics;
// what is good of a damaged file is used, and what is damaged is told; and whenever a process or a
// machine stops there is the old file or the new one.
//
// There are no locks. A read ends soon after its context, also where the reader below it does not.
package hotfile
