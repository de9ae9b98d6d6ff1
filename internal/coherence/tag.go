package coherence

import "strings"

// Tags is what all tags are called where tables are told of. Tags are names that an application
// makes of its values, without end: to tell them apart would show the values and fill the memory.
const Tags = "tag"

// tagPrefix begins the names that stand for tags where tables are named.
const tagPrefix = "tag:"

// OfTag returns what stands for a tag where tables are named.
func OfTag(tag string) string { return tagPrefix + tag }

// Told returns what a table is called where it is told of: its name, or Tags.
func Told(table string) string {
	if strings.HasPrefix(table, tagPrefix) {
		return Tags
	}
	return table
}

// AllTold returns what tables are called where they are told of.
func AllTold(tables []string) []string {
	told := make([]string, len(tables))
	for i, table := range tables {
		told[i] = Told(table)
	}
	return told
}
