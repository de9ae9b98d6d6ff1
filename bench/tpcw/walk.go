package tpcw

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// Entrance is where people are before they see a page.
const Entrance = "INIT"

// How long people look at a page, and stay in the shop.
const (
	thinkMean = 7 * time.Second
	thinkMost = 70 * time.Second
	stayMean  = 15 * time.Minute
	stayMost  = 60 * time.Minute
)

// Rendering is how long a page takes with what a query found, before it asks the next one.
const Rendering = 200 * time.Microsecond

// Think draws how long someone looks at a page.
func Think(r *rand.Rand) time.Duration { return exponential(r, thinkMean, thinkMost) }

// Stay draws how long someone stays in the shop.
func Stay(r *rand.Rand) time.Duration { return exponential(r, stayMean, stayMost) }

// exponential draws a duration of a mean, cut off.
func exponential(r *rand.Rand, mean, most time.Duration) time.Duration {
	return min(most, time.Duration(-math.Log(1-r.Float64())*float64(mean)))
}

var pages = []string{"ADMC", "ADMR", "BESS", "BUYC", "BUYR", "CREG", "HOME", "NEWP", "ORDD", "ORDI", "PROD", "SREQ", "SRES", "SHOP"}

// Transitions are the probabilities with which one page follows another, by from and to.
type Transitions map[string]map[string]float64

// Invented are the transitions of a shop that is made up, in the form of TPC-W's but with none of
// its figures: people look around, search, and some of them buy. What is asked for on a page is
// that of TPC-W; how often which page is seen is not.
var Invented = Transitions{
	Entrance: {"HOME": 1},
	"HOME":   {"NEWP": .3, "BESS": .3, "SREQ": .2, "SHOP": .1, "ORDI": .1},
	"NEWP":   {"PROD": .8, "HOME": .2},
	"BESS":   {"PROD": .7, "SREQ": .2, "HOME": .1},
	"SREQ":   {"SRES": .9, "HOME": .1},
	"SRES":   {"PROD": .7, "SREQ": .2, "HOME": .1},
	"PROD":   {"PROD": .3, "SHOP": .2, "SREQ": .25, "HOME": .2, "ADMR": .05},
	"SHOP":   {"CREG": .4, "SREQ": .3, "HOME": .3},
	"CREG":   {"BUYR": .9, "HOME": .1},
	"BUYR":   {"BUYC": .6, "SHOP": .2, "HOME": .2},
	"BUYC":   {"SREQ": .6, "HOME": .4},
	"ORDI":   {"ORDD": .8, "HOME": .2},
	"ORDD":   {"SREQ": .5, "HOME": .5},
	"ADMR":   {"ADMC": .5, "HOME": .5},
	"ADMC":   {"HOME": 1},
}

// OpenTransitions returns the transitions of a mix of a file, or Invented without a path, and what
// to call them.
func OpenTransitions(path, mix string) (name string, t Transitions, err error) {
	if path == "" {
		return "made up", Invented, nil
	}
	t, err = ReadTransitions(path, mix)
	return mix, t, err
}

// ReadTransitions reads the transitions of a mix from a file with the columns mix, from, and one
// for each page.
func ReadTransitions(path, mix string) (Transitions, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := Transitions{}
	for _, row := range rows[1:] {
		if row[0] != mix {
			continue
		}
		t[row[1]] = map[string]float64{}
		for i, text := range row[2:] {
			p, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %s to %s: %w", path, row[1], rows[0][i+2], err)
			}
			t[row[1]][rows[0][i+2]] = p
		}
	}
	if len(t) == 0 {
		return nil, fmt.Errorf("%s has no mix %q", path, mix)
	}
	return t, nil
}

// Next draws the page that follows one.
func (t Transitions) Next(page string, r *rand.Rand) string {
	left := r.Float64()
	last := ""
	for _, to := range pages {
		if p := t[page][to]; p > 0 {
			if last = to; left < p {
				return to
			}
			left -= p
		}
	}
	return last
}
