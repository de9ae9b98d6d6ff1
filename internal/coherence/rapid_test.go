package coherence

import "flag"

// The default budget of the property tests; flags of rapid on the command line come later, and
// count.
func init() {
	if err := flag.Set("rapid.checks", "300"); err != nil {
		panic(err)
	}
}
