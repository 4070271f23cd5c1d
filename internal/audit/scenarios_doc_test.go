package audit_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

//go:generate go test -run ^TestScenariosAreDocumented$ -count=1 . -update-scenarios

var updateScenarios = flag.Bool("update-scenarios", false, "write ../../docs/scenarios.md anew")

const scenariosFile = "../../docs/scenarios.md"

// TestScenariosAreDocumented compares docs/scenarios.md with the catalogue.
func TestScenariosAreDocumented(t *testing.T) {
	books := []struct {
		sandbox.Book
		heading, about string
	}{
		{sandbox.Releases, "Shown by the releases", "What the package index lists and serves, and the attestations in it."},
		{sandbox.Certificates, "Shown by the certificates", "What the certificate authority issued, in the CT logs: nothing has to be published for it to be seen."},
		{sandbox.Entries, "Shown by the entries", "What was signed, in Rekor v1 and v2, and what bundles say of it."},
		{sandbox.Logs, "Shown by a log's own signatures", "What a log signed, held against what it signed before, for others, or serves."},
		{sandbox.Sources, "Shown by what does not answer", "What is unknown is neither fine nor wrong, until it has been unknown for too long."},
	}
	rules := audit.NewRuleSet(nil)
	all := sandbox.Catalogue()
	alerting := 0
	for _, c := range all {
		if c.Rule != "" {
			alerting++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Scenarios\n\nMade from the code by `go generate ./internal/audit`. Each of these %d scenarios happens in a whole world with real cryptography\n"+
		"(`internal/sandbox`), while the project's honest work goes on behind it: a weekly build, a release, CI, a pull request, scans, a\n"+
		"rehearsal on the test index, the deletion of old weekly builds. The whole monitor makes its passes meanwhile. %d must be found: in\n"+
		"the pass that is given, once, and nothing besides. The other %d are honest or undecided, and look like something that is not:\n"+
		"nothing may be found. Severities and grace periods are defaults.\n", len(all), alerting, len(all)-alerting)
	for _, book := range books {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| scenario | what happens | finding | severity | how soon |\n|---|---|---|---|---|\n", book.heading, book.about)
		for _, c := range all {
			if c.Book != book.Book {
				continue
			}
			if c.Rule == "" {
				fmt.Fprintf(&b, "| %s | %s | none, and no `%s` | - | - |\n", c.Name, c.About, c.Tempts)
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.Name, c.About, foundBy(c), cmp.Or(c.Severity, string(rules[c.Rule].Severity)), howSoon(c, rules[c.Rule].Grace))
		}
	}
	if *updateScenarios {
		if err := os.WriteFile(scenariosFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(scenariosFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/scenarios.md is not what the catalogue says; run go generate ./internal/audit")
	}
	listed := 0
	for _, book := range books {
		for _, c := range all {
			if c.Book == book.Book {
				listed++
			}
		}
	}
	if listed != len(all) {
		t.Errorf("%d of %d scenarios are in a book", listed, len(all))
	}
}

// foundBy names the rules that a scenario raises, the main one first.
func foundBy(c sandbox.Case) string {
	text := "`" + c.Rule + "`"
	for _, more := range append(append([]string{}, c.Also...), c.Besides...) {
		if more == c.Rule {
			text += ", and again of the certificate"
			continue
		}
		text += ", `" + more + "`"
	}
	return text
}

// howSoon says which pass finds it.
func howSoon(c sandbox.Case, grace time.Duration) string {
	switch {
	case c.Passes == 3:
		return "the second pass"
	case c.Wait > 0 && grace == 0:
		return "the first pass that asks again"
	case c.Wait > 0:
		return "the first pass after " + strings.TrimSuffix(strings.TrimSuffix(grace.String(), "0s"), "0m")
	}
	return "the next pass"
}

// TestEveryRuleHasAScenarioThatRaisesItAndOneThatTemptsIt holds the catalogue against the rules.
func TestEveryRuleHasAScenarioThatRaisesItAndOneThatTemptsIt(t *testing.T) {
	must, mustNot, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range sandbox.Catalogue() {
		if names[c.Name] || c.About == "" || (c.Rule == "") != (c.Tempts != "") {
			t.Errorf("scenario %q is incomplete, or not the only one of its name", c.Name)
		}
		names[c.Name], must[c.Rule], mustNot[c.Tempts] = true, true, true
		for _, rule := range []string{c.Rule, c.Tempts} {
			if rule != "" && !audit.Known(rule) {
				t.Errorf("scenario %s is about the rule %q, which there is none of", c.Name, rule)
			}
		}
	}
	for _, r := range audit.Rules() {
		if r.ID == audit.DeliveryFailing {
			continue // about no world, but about the channels that hear of it
		}
		if !must[r.ID] || !mustNot[r.ID] {
			t.Errorf("%s: a scenario that must alert: %t, one that must not: %t", r.ID, must[r.ID], mustNot[r.ID])
		}
	}
}
