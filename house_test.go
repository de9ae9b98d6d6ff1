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
	"strconv"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/seen"
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
	houseFirstTier = []string{"batch", "clock", "clone", "coherence", "eviction", "hotness", "prediction", "replay", "seen", "sqltext", "store", "strict"}
	// houseForTests are those that only tests import, and that may import the root package.
	houseForTests = []string{"dbtest", "dbtest/puresqlite", "feedtest", "opentest", "strict/stricttest", "worldtest"}
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

// TestEveryPackageHasAJob: CONTRIBUTING says what each package of the core is for.
func TestEveryPackageHasAJob(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	packages, err := os.ReadDir("internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range packages {
		if name := "`internal/" + of.Name() + "`"; of.IsDir() && !strings.Contains(string(page), name) {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", name)
		}
	}
}

// TestEveryModuleIsChecked: .ci/run looks at all modules of go.work, wherever they are.
func TestEveryModuleIsChecked(t *testing.T) {
	t.Parallel()
	var found []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "go.mod" && !entry.IsDir() {
			found = append(found, strings.TrimSuffix("./"+filepath.ToSlash(filepath.Dir(path)), "/."))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	script, err := os.ReadFile(filepath.Join(".ci", "run"))
	if err != nil {
		t.Skip("there is no .ci/run here: ", err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	for _, line := range strings.Split(string(script), "\n") {
		if !strings.HasPrefix(line, "MODULES=") {
			continue
		}
		out, err := exec.Command(bash, "-c", line+`; printf '%s\n' "${MODULES[@]}"`).Output()
		if err != nil {
			t.Fatal(err)
		}
		checked := strings.Fields(string(out))
		slices.Sort(checked)
		if !slices.Equal(checked, found) {
			t.Errorf(".ci/run checks the modules %q, and there are %q", checked, found)
		}
		return
	}
	t.Error(".ci/run does not say which MODULES there are")
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
		"Settle", "Steady", "TypeID", "CodeOf", "MemoryOf", "(*QueryChain).Steps", "(*Data).PublicKey", "eviction.(*Node[go.shape.*uint8]).Use",
	} {
		if !bytes.Contains(out, []byte("can inline "+name+"\n")) && !bytes.Contains(out, []byte("can inline "+name+" ")) {
			t.Errorf("%s is not inlined", name)
		}
	}
}

// TestEveryRefusalIsAReason: what keeps an answer out is told in the words of internal/template and
// internal/cache, and counted in those of internal/seen, which an application looks for among those
// that are documented. Queries of a shape that is hardly ever asked again qualify nevertheless.
func TestEveryRefusalIsAReason(t *testing.T) {
	t.Parallel()
	reasons, causes := houseWords(t, ".", "Reason"), houseWords(t, ".", "Cause")
	for _, cause := range causes {
		if !slices.Contains(seen.Causes[:], seen.Cause(cause)) {
			t.Errorf("the Cause %q is not counted by itself: want it among the Causes of internal/seen", cause)
		}
	}
	for _, c := range []struct {
		of, room, kind string
		words          []string // that are documented
	}{
		{"a Reason", "internal/template", "Refusal", reasons},
		{"a Reason", "internal/cache", "obstacle", append(slices.Clone(reasons), string(preload.CauseNotRepeated))},
		{"a Cause", "internal/cache", "obstacle", causes},
		{"a Reason", "internal/seen", "Reason", reasons},
		{"a Cause", "internal/seen", "Cause", causes},
	} {
		for _, word := range houseWords(t, c.room, c.kind) {
			if !slices.Contains(c.words, word) {
				t.Errorf("%s: the %s %q is not %s: want one of %q", c.room, c.kind, word, c.of, c.words)
			}
		}
	}
}

// houseWords returns the texts of the constants that a package declares of a type.
func houseWords(t *testing.T, room, of string) (words []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != of {
				return true
			}
			for _, value := range spec.Values {
				literal, ok := value.(*ast.BasicLit)
				if !ok {
					t.Errorf("%s: a %s that is no text", path, of)
					continue
				}
				word, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				words = append(words, word)
			}
			return true
		})
	}
	if len(words) < 2 {
		t.Fatalf("%s declares %q of type %s: want more", room, words, of)
	}
	return words
}
