package db

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestSQLitesLibraryIsTheOneThatItNeeds compares the version of libc that this module selects with the one that SQLite's
// translation was generated for: another one may break it in ways that no compiler sees.
func TestSQLitesLibraryIsTheOneThatItNeeds(t *testing.T) {
	list := func(format, module string) string {
		out, err := exec.Command("go", "list", "-m", "-f", format, module).Output()
		if err != nil {
			t.Skipf("skipped: go list cannot find %s here: %v", module, err)
		}
		return strings.TrimSpace(string(out))
	}
	path := list("{{.GoMod}}", "modernc.org/sqlite")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("skipped: the module's own go.mod cannot be read here: %v", err)
	}
	mod, err := modfile.ParseLax(path, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	ours := list("{{.Version}}", "modernc.org/libc")
	for _, r := range mod.Require {
		if r.Mod.Path == "modernc.org/libc" {
			if r.Mod.Version != ours {
				t.Errorf("modernc.org/sqlite was made with libc %s, go.mod selects %s", r.Mod.Version, ours)
			}
			return
		}
	}
	t.Error("modernc.org/sqlite requires no libc: this test looks for the wrong thing")
}
