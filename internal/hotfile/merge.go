package hotfile

import (
	"cmp"
	"encoding/json"
	"slices"
)

// Merge returns one file of the keys of several, of one version and dialect: hottest first, by the
// sum of their scores, and at most so many. It takes the files as Read returned them.
func Merge(files []File, most int) File {
	if len(files) == 0 {
		return File{}
	}
	merged := File{Version: files[0].Version, Dialect: files[0].Dialect}
	queries, keys := map[string]int{}, map[string]int{} // their places
	for _, file := range files {
		places := make([]int, len(file.Queries))
		for i, q := range file.Queries {
			text, err := json.Marshal(q) // all that tells it from others
			n, known := queries[string(text)]
			if !known || err != nil {
				n = len(merged.Queries)
				queries[string(text)] = n
				merged.Queries = append(merged.Queries, q)
			}
			places[i] = n
		}
		for _, key := range file.Keys {
			key.Query, key.Score = places[key.Query], max(0, key.Score)
			text, _ := json.Marshal(Key{Query: key.Query, Args: key.Args})
			if n, known := keys[string(text)]; known {
				merged.Keys[n].Score += key.Score
				continue
			}
			keys[string(text)] = len(merged.Keys)
			merged.Keys = append(merged.Keys, key)
		}
	}
	slices.SortStableFunc(merged.Keys, func(a, b Key) int { return cmp.Compare(b.Score, a.Score) })
	merged.Keys = merged.Keys[:min(len(merged.Keys), most)]
	return merged
}
