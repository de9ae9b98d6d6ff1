package preload_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	houseModule = "github.com/gorm-preload/preload"
	// houseLines is how long a file of the root package may be, houseColumns a line of a comment,
	// with tabs of four columns, and houseFields how many fields a struct of the root package may
	// have.
	houseLines   = 450
	houseColumns = 100
	houseFields  = 12
)

var (
	// houseFirstTier are the packages that know nothing of GORM and could be published alone.
	houseFirstTier = []string{"clone", "coherence", "hotness", "prediction", "recency", "sqltext"}
	// houseForTests are those that only tests import, and that may import the root package.
	houseForTests = []string{"dbtest", "dbtest/puresqlite", "worldtest"}
)

// TestImportsPointDown keeps the two tiers of internal packages apart from each other, and both
// from the root.
func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for packages := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room, internal := strings.CutPrefix(p.ImportPath, houseModule+"/internal/")
		if !internal || slices.Contains(houseForTests, room) {
			continue
		}
		seen++
		first := slices.Contains(houseFirstTier, room)
		for _, path := range p.Imports {
			other, ours := strings.CutPrefix(path, houseModule)
			other = strings.TrimPrefix(other, "/internal/")
			switch {
			case first && strings.HasPrefix(path, "gorm.io/"), first && ours && !slices.Contains(houseFirstTier, other):
				t.Errorf("%s imports %s: want nothing but packages of its own tier", room, path)
			case ours && other == "", ours && strings.HasPrefix(other, "/"):
				t.Errorf("%s imports %s: want internal packages only", room, path)
			case ours && slices.Contains(houseForTests, other):
				t.Errorf("%s imports %s, which is for tests", room, path)
			}
		}
	}
	if seen < len(houseFirstTier)+10 {
		t.Errorf("%d packages were looked at", seen)
	}
}

// TestFilesAreShort keeps the files and the structs of the root package short, and the lines of all
// comments.
func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	looked := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && path != "internal" && !strings.HasPrefix(path, "internal"+string(filepath.Separator)):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		looked++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		root := filepath.Dir(path) == "." && !strings.HasSuffix(path, "_test.go")
		if lines := bytes.Count(text, []byte("\n")); root && lines > houseLines {
			t.Errorf("%s has %d lines: want %d at most", path, lines, houseLines)
		}
		if !strings.HasSuffix(path, "_test.go") {
			houseComments(t, path, text)
		}
		if root {
			houseStructs(t, path, text)
		}
		return nil
	})
	if err != nil || looked < 100 {
		t.Fatalf("%d files were looked at: %v", looked, err)
	}
}

func houseComments(t *testing.T, path string, text []byte) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "//\t") {
			continue // a table, which cannot be wrapped
		}
		line := strings.ReplaceAll(lines.Text(), "\t", "    ")
		if strings.HasPrefix(strings.TrimSpace(line), "//") && len(line) > houseColumns {
			t.Errorf("%s:%d: a comment of %d columns: want %d at most", path, n, len(line), houseColumns)
		}
	}
}

// houseStructs looks at structs but those of options and public results, which have as many fields
// as there are things to tell.
func houseStructs(t *testing.T, path string, text []byte) {
	file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		of, ok := spec.Type.(*ast.StructType)
		if !ok || spec.Name.IsExported() && spec.Name.Name != "Plugin" || spec.Name.Name == "config" {
			return true
		}
		fields := 0
		for _, f := range of.Fields.List {
			fields += max(1, len(f.Names))
		}
		if fields > houseFields {
			t.Errorf("%s: %s has %d fields: want %d at most", path, spec.Name.Name, fields, houseFields)
		}
		return true
	})
}

// TestTheShortWayIsInlined has the compiler inline what every hit calls.
func TestTheShortWayIsInlined(t *testing.T) {
	t.Parallel()
	build := exec.Command("go", "build", "-gcflags=-m=1", ".", "./internal/args", "./internal/cache", "./internal/gormprivate", "./internal/own", "./internal/shape")
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range []string{
		"(*Entry).Alive", "(*Entry).Fetch", "(*Entry).Due", "(*keyLocks).of", "Hash", "(*recent).is", "(*Recents).Of",
		"(*Fingerprint).tag", "(*Fingerprint).number", "(*Fingerprint).text", "(*Fingerprint).flag", "(*Fingerprint).typ",
		"Settle", "Steady", "TypeID", "CodeOf", "MemoryOf", "(*QueryChain).Steps", "(*Data).PublicKey",
	} {
		if !bytes.Contains(out, []byte("can inline "+name+"\n")) && !bytes.Contains(out, []byte("can inline "+name+" ")) {
			t.Errorf("%s is not inlined", name)
		}
	}
}
