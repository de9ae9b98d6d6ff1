// Package eviction bounds what a cache holds, by number and by weight, and picks what leaves.
//
// What is put in passes through a nursery and then a small queue, and leaves at the end of that one
// if it was not used there. What was used there goes on to the main queue, at whose end each use
// saves it once, three times at most. What leaves the small queue, or is taken out of the main one,
// is remembered by a fingerprint of its key, in a ghost of as many fingerprints as nodes fit: if it
// is put in again while it is remembered, it goes to the main queue at once. So what is used once,
// however much of it there is, takes up a seventh of the room, and what is used again has the rest.
//
// The small queue, the main one and the ghost are those of S3-FIFO (Yang et al., "FIFO Queues are
// All You Need for Cache Eviction", SOSP 2023). The nursery is a thought of Clock2Q+ (arXiv
// 2511.21958): uses that follow close upon each other are one piece of work, and do not tell that
// there will be more later. So uses in the nursery do not count.
//
//	a node is put in
//	    remembered        to the end of the main queue
//	    else              to the end of the nursery; the first of it, if they are more than 1 in 100,
//	                      to the end of the small queue, its uses forgotten
//	a node has to leave
//	    nursery and small queue are 15 in 100 or more, or the main queue is empty:
//	        first of the small queue, used    to the end of the main queue, its uses forgotten; look again
//	        first of the small queue          leaves, and is remembered
//	        none there                        the first of the nursery leaves, and is remembered
//	    else:
//	        first of the main queue, used     to its end, with one use less; look again
//	        first of the main queue           leaves
//	a node is taken out   and is remembered if it was in the main queue
//	a node is replaced    the new one has its place and its uses
//
// The shares are of the number of nodes that fit. Where the weight binds, as many fit as there are
// when one has to leave: a heavy node counts as one there, too.
//
// Hit ratios, CLOCK's first, of a million accesses to objects (the trace orm-busy of
// cache2k-benchmark: headissue GmbH, Jens Wilke, CC BY 4.0):
//
//	nodes            1,000          5,000          20,000
//	                 .794  .802     .862  .878     .937  .941
//	with as many     .649  .730     .811  .864     .857  .921   of the others; accesses to keys
//	                                                            that come once are among them
//
// Where the weight alone binds, with weights of four heavy-tailed distributions and at about 200 to
// 20,000 nodes, they are .003 to .016 above those of CLOCK. Shares of the weight, of the small
// queue alone or of the nursery as well, came to between .004 less and .003 more than that.
//
// A use is one store to an atomic of the node, without a lock, and none from the third on. All else
// is under one lock, a leaf: nothing of the caller's is called under it. A node has 40 bytes on a
// machine of 64 bits. The ghost has 12 for each, once one had to leave, which count as weight.
package eviction
