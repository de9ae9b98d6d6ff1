package gormprivate

import (
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var recorderType = reflect.TypeOf(logger.Recorder.New())

// Scans reports whether rows are asked for by GORM's Scan, and not by an application's Rows: Scan
// puts a logger of its own in place of the handle's while it asks. Where it does not, the answer is
// false.
func Scans(db *gorm.DB) bool { return reflect.TypeOf(db.Logger) == recorderType }
