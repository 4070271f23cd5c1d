package audit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:generate go test -run ^TestRulesAreDocumented$ -count=1 . -update-rules

var updateRules = flag.Bool("update-rules", false, "write ../../docs/rules.md anew")

const rulesFile = "../../docs/rules.md"

// TestRulesAreDocumented compares docs/rules.md with what the rules themselves say.
func TestRulesAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Rules\n\nMade from the code by `go generate ./internal/audit`. Severity and grace period are defaults: `rules:` in the configuration\nchanges them. A rule that cannot be judged is unknown, and opens and resolves nothing.\n\n")
	b.WriteString("| rule | about | severity | grace | meaning | what to do |\n|---|---|---|---|---|---|\n")
	for _, r := range Rules() {
		grace := "-"
		if r.Grace > 0 {
			grace = strings.TrimSuffix(strings.TrimSuffix(r.Grace.String(), "0s"), "0m")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", r.ID, r.About, r.Severity, grace, r.Sentence, r.Advice)
	}
	if *updateRules {
		if err := os.WriteFile(rulesFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/rules.md is not what the rules say; run go generate ./internal/audit")
	}
}
