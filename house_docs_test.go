package rekoncile_test

import (
	"go/ast"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeCommandsAreThoseOfCI compares the commands that the README begins with and those that .ci/run runs in its name.
func TestReadmeCommandsAreThoseOfCI(t *testing.T) {
	_, section, ok := strings.Cut(string(read(t, "README.md")), "\n## Two commands\n")
	if !ok {
		t.Fatal("README.md has no section \"Two commands\"")
	}
	_, section, _ = strings.Cut(section, "```sh\n")
	block, _, ok := strings.Cut(section, "```")
	if !ok {
		t.Fatal("README.md shows no commands there")
	}
	var shown []string
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "#")
		shown = append(shown, strings.TrimSpace(command))
	}
	if len(shown) != 2 {
		t.Errorf("README.md shows %q, want two commands", shown)
	}

	lines := strings.Split(string(read(t, ".ci/run")), "\n")
	var run []string
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, `step "README: `)
		if !ok {
			continue
		}
		command = strings.TrimSuffix(command, `"`)
		run = append(run, command)
		// The command itself stands below, and what follows it only redirects.
		following := slices.IndexFunc(lines[i+1:], func(l string) bool { return l == command || strings.HasPrefix(l, command+" >") })
		if next := slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.HasPrefix(l, "step ") }); following < 0 || next >= 0 && following > next {
			t.Errorf(".ci/run: the step for %q does not run it", command)
		}
	}
	slices.Sort(shown)
	slices.Sort(run)
	if !slices.Equal(shown, run) {
		t.Errorf("README.md shows %q, .ci/run runs %q", shown, run)
	}
}

// TestArchitectureNamesEveryRoom compares the table of rooms with the layers.
func TestArchitectureNamesEveryRoom(t *testing.T) {
	text := string(read(t, "docs/architecture.md"))
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		named[m[1]] = true
	}
	for _, rooms := range layers {
		for _, room := range rooms {
			if !named[room] {
				t.Errorf("docs/architecture.md has no line for %s", room)
			}
			delete(named, room)
		}
	}
	for room := range named {
		if _, err := os.Stat(room); err != nil {
			t.Errorf("docs/architecture.md names %s: %v", room, err)
		}
	}
}

// TestArchitectureNamesEveryTable compares the migrations with what the document says is stored.
func TestArchitectureNamesEveryTable(t *testing.T) {
	text := string(read(t, "docs/architecture.md"))
	migrations, err := filepath.Glob("internal/db/migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatalf("migrations: %d, %v", len(migrations), err)
	}
	for _, name := range migrations {
		for _, m := range regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`).FindAllStringSubmatch(string(read(t, name)), -1) {
			if !strings.Contains(text, "`"+m[1]+"`") {
				t.Errorf("docs/architecture.md does not name the table %s", m[1])
			}
		}
	}
}

// TestEveryShapeIsDocumented looks for the schema of every answer in docs/json.md, and for the members of each.
func TestEveryShapeIsDocumented(t *testing.T) {
	text := string(read(t, "docs/json.md"))
	schema := regexp.MustCompile(`^"[a-z-]+/[0-9]+"$`)
	member := regexp.MustCompile("json:\"([a-z0-9_]+)")
	found := 0
	for _, s := range sources(t) {
		if s.room != "cmd/monitor" || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if schema.MatchString(n.Value) {
					found++
					if name := strings.Trim(n.Value, `"`); !strings.Contains(text, "`"+name+"`") {
						t.Errorf("%s: docs/json.md does not have the schema %s", s.path, name)
					}
				}
			case *ast.Field:
				if n.Tag == nil {
					return true
				}
				if m := member.FindStringSubmatch(n.Tag.Value); m != nil && !regexp.MustCompile(`\b`+m[1]+`\b`).MatchString(text) {
					t.Errorf("%s: docs/json.md does not have the member %s", s.path, m[1])
				}
			}
			return true
		})
	}
	if found < 10 {
		t.Errorf("found only %d schemas: this test looks for the wrong thing", found)
	}
}

// TestEveryCommandIsMentioned looks for each verb in the README or docs/json.md.
func TestEveryCommandIsMentioned(t *testing.T) {
	text := string(read(t, "README.md")) + string(read(t, "docs/json.md"))
	verbs := 0
	for _, s := range sources(t) {
		if s.room != "cmd/monitor" || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isKey := pair.Key.(*ast.Ident)
			value, isText := pair.Value.(*ast.BasicLit)
			if !isKey || !isText || key.Name != "Use" {
				return true
			}
			verb := strings.Fields(strings.Trim(value.Value, `"`))[0]
			if verbs++; !regexp.MustCompile(`[ \x60]` + verb + `\b`).MatchString(text) {
				t.Errorf("%s: neither README.md nor docs/json.md mentions %s", s.path, verb)
			}
			return true
		})
	}
	if verbs < 10 {
		t.Errorf("found only %d commands: this test looks for the wrong thing", verbs)
	}
}

// TestLinksBetweenDocumentsHold follows every relative link of every document.
func TestLinksBetweenDocumentsHold(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".md") {
			return
		}
		for _, m := range link.FindAllStringSubmatch(string(read(t, name)), -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: link %q: %v", name, m[1], err)
				continue
			}
			if u.IsAbs() || u.Path == "" {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(u.Path))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	if links == 0 {
		t.Error("no document links to another: this test looks for the wrong thing")
	}
}
