// Package own has an application's own data: values by key that a loader of the application's own
// loads. They are answers of package cache like those of queries, which no write to a table
// touches; a change of everything does.
//
// Data loads them, for who asks and, from then on, in the background, and knows how their keys are
// written: as users know one, and as the store does.
//
// What it guards: a loader is called once at a time for a key, and not by those who wait for one
// but where that does not help them; a load of a key within the load of the key does not wait for
// itself; a caller shares no memory with what is kept, nor with another caller; a value of a
// partition that has a name is found in that partition only, and is not loaded outside a request;
// and no key of own data is one of a query, or one of another plugin of the process.
//
// Data is safe for concurrent use, and has no lock of its own: loads of a key are ordered by the
// flights of package cache. The application's loader is called with no lock held.
package own
