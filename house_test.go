// Package rekoncile_test keeps the rules of the house: which room may import which, who may read the time, what a
// package says of itself, and that the documents tell what is there.
//
// It promises that a rule which can be read off the source is not left to attention. It runs no code of the project.
package rekoncile_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rekoncile/rekoncile"

// layers are the rooms from the ground up: a room imports only rooms of layers below its own. The sandbox imports none, so
// that it shares no mistake with what it tests.
var layers = [][]string{
	{"configs", "internal/clock", "internal/failpoint", "internal/identity", "internal/realdata", "internal/sandbox", "internal/strictjson"},
	{"internal/schedule"},
	{"internal/config", "internal/fetch", "internal/tlog"},
	{"internal/tlog/tiles"},
	{"internal/attest", "internal/ctlog", "internal/github", "internal/pypi", "internal/rekor", "internal/trust", "internal/tlog/tiles/tilestest"},
	{"internal/audit"},
	{"internal/notify"},
	{"internal/db"},
	{"cmd/monitor"},
}

// testRooms are imported by tests alone; production code that has them is a demonstration.
var testRooms = map[string][]string{
	"internal/sandbox":              {"cmd/monitor"}, // monitor demo
	"internal/realdata":             nil,
	"internal/tlog/tiles/tilestest": nil,
}

// readTheTime are the files outside internal/clock that may, with the reason.
var readTheTime = map[string]string{
	"e2e": "the servers that others wrote run on real time",
}

const (
	maxLines     = 450 // of a file of the program
	maxTestLines = 600 // of a file of tests: a table counts too
)

// source is one parsed Go file.
type source struct {
	path string // from the project's root, with slashes
	room string // its folder
	test bool
	file *ast.File
	body []byte
}

// sources parses every Go file of the project, in the order of their paths.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	files := token.NewFileSet()
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		body := read(t, name)
		file, err := parser.ParseFile(files, name, body, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{path: name, room: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), file: file, body: body})
	})
	if len(all) < 50 {
		t.Fatalf("found only %d Go files: these tests have to run in the project's root", len(all))
	}
	return all
}

// walk calls fn with the path of every file that belongs to the project, hidden folders and build results apart.
func walk(t *testing.T, fn func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "dist", "testdata"}, d.Name())):
			return fs.SkipDir
		case !d.IsDir():
			fn(filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// rooms are the project's imports in a file, from its root.
func (s source) rooms(t *testing.T) []string {
	t.Helper()
	var rooms []string
	for _, i := range s.file.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if room, ok := strings.CutPrefix(name, module+"/"); ok {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// TestImportsPointOneWay holds every import between rooms against the layers.
func TestImportsPointOneWay(t *testing.T) {
	layerOf := map[string]int{}
	for i, rooms := range layers {
		for _, room := range rooms {
			layerOf[room] = i
		}
	}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.test || s.room == "." || strings.HasPrefix(s.room, "e2e") {
			continue
		}
		own, ok := layerOf[s.room]
		if !ok {
			t.Errorf("%s: %s has no place among the layers: give it one, and a line in docs/architecture.md", s.path, s.room)
			continue
		}
		seen[s.room] = true
		for _, room := range s.rooms(t) {
			if below, ok := layerOf[room]; !ok || below >= own {
				t.Errorf("%s imports %s, which does not lie below %s", s.path, room, s.room)
			}
			if users, ok := testRooms[room]; ok && !slices.Contains(users, s.room) {
				t.Errorf("%s imports %s, which is for tests", s.path, room)
			}
		}
	}
	for room := range layerOf {
		if !seen[room] {
			t.Errorf("the layers name %s, and there is no such room", room)
		}
	}
}

// TestEveryPackageSaysWhatItPromises wants one package comment a package, and more of a room than what it is.
func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.file.Name.Name, "_test") {
			continue // a package beside the one that it tests
		}
		comments[s.room] = append(comments[s.room], "")
		if s.file.Doc != nil {
			comments[s.room][len(comments[s.room])-1] = s.file.Doc.Text()
		}
	}
	for room, texts := range comments {
		texts = slices.DeleteFunc(texts, func(text string) bool { return text == "" })
		switch {
		case len(texts) != 1:
			t.Errorf("%s has %d package comments, want one", room, len(texts))
		case !strings.HasPrefix(texts[0], "Package "+path.Base(room)+" ") && !strings.HasPrefix(texts[0], "Command "+path.Base(room)+" "):
			t.Errorf("%s: its comment begins %.40q", room, texts[0])
		case strings.HasPrefix(room, "internal/") && !strings.Contains(texts[0], "\n\n") && strings.Count(texts[0], ".") < 3:
			t.Errorf("%s: its comment only says what it is: say what it promises, and what it does not", room)
		}
	}
}

// TestTimeIsReadInOneRoom finds every use of the functions that read the clock or wait, tests included.
func TestTimeIsReadInOneRoom(t *testing.T) {
	forbidden := map[string][]string{
		"time":    {"Now", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until"},
		"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
	}
	found := 0
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && slices.Contains(forbidden[pkg.Name], selector.Sel.Name) {
				found++
				if s.room != "internal/clock" && readTheTime[s.room] == "" {
					t.Errorf("%s: %s.%s: time goes through internal/clock", s.path, pkg.Name, selector.Sel.Name)
				}
			}
			return true
		})
	}
	if found == 0 {
		t.Error("not even internal/clock reads the time: this test looks for the wrong thing")
	}
}

// TestFailpointsNameTheirRoom wants "room/what-has-just-happened", each once, and in the room that it names.
func TestFailpointsNameTheirRoom(t *testing.T) {
	form := regexp.MustCompile(`^([a-z]+)/[a-z]+(-[a-z]+)*$`)
	placed := map[string]string{}
	for _, s := range sources(t) {
		if s.test || s.room == "internal/failpoint" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "failpoint" || selector.Sel.Name != "Hit" {
				return true
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a failpoint's name is written where it is", s.path)
				return true
			}
			name := strings.Trim(literal.Value, `"`)
			if m := form.FindStringSubmatch(name); m == nil || m[1] != path.Base(s.room) {
				t.Errorf("%s: failpoint %q, want %s/what-has-just-happened", s.path, name, path.Base(s.room))
			}
			if other, ok := placed[name]; ok {
				t.Errorf("%s: failpoint %q is in %s already", s.path, name, other)
			}
			placed[name] = s.path
			return true
		})
	}
	if len(placed) == 0 {
		t.Error("there are no failpoints")
	}
}

// TestAFileIsOneThought measures files.
func TestAFileIsOneThought(t *testing.T) {
	for _, s := range sources(t) {
		limit := maxLines
		if s.test {
			limit = maxTestLines
		}
		if n := bytes.Count(s.body, []byte("\n")); n > limit {
			t.Errorf("%s has %d lines, at most %d are one thought", s.path, n, limit)
		}
	}
}
