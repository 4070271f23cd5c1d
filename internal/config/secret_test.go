package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const hook = "https://hooks.slack.com/services/T000/B000/s3cr3t"

func secretFrom(t *testing.T, slack string, getenv func(string) string) Secret {
	t.Helper()
	o := testOptions()
	o.Getenv = getenv
	c, err := Parse("monitor.yaml", []byte("alerts: {slack: "+slack+"}\n"+smallConfig), o)
	if err != nil {
		t.Fatal(err)
	}
	return c.Alerts.Slack.Webhook
}

func TestSecretsAreReadFromFilesAndVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "slack")
	if err := os.WriteFile(file, []byte("\n "+hook+" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if have, err := secretFrom(t, "{webhook_file: "+file+"}", nil).Read(); err != nil || have != hook {
		t.Errorf("from a file: %q, %v", have, err)
	}
	// What a file or a variable holds is not expanded again.
	env := func(name string) string { return map[string]string{"HOOK": hook + "/${HOOK}"}[name] }
	if have, err := secretFrom(t, `{webhook: "${HOOK}"}`, env).Read(); err != nil || have != hook+"/${HOOK}" {
		t.Errorf("from a variable: %q, %v", have, err)
	}
	t.Setenv("REKONCILE_TEST_HOOK", hook)
	if have, err := secretFrom(t, `{webhook: "${REKONCILE_TEST_HOOK}"}`, nil).Read(); err != nil || have != hook {
		t.Errorf("from the environment: %q, %v", have, err)
	}
}

func TestSecretsThatCannotBeReadSayWhere(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"empty": " \n", "two": "s3cr3t\nother", "large": strings.Repeat("x", 64<<10+1)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ slack, want string }{
		{"{webhook_file: " + folder + "/none}", "read secret: open " + folder + "/none: no such file or directory"},
		{"{webhook_file: " + folder + "/empty}", "read secret: file " + folder + "/empty is empty or not set"},
		{"{webhook_file: " + folder + "/two}", "read secret: file " + folder + "/two holds more than one line of text; leave only the secret there"},
		{"{webhook_file: " + folder + "/large}", "read secret: " + folder + "/large is larger than 65536 bytes"},
		{`{webhook: "${UNSET}"}`, "read secret: variable UNSET is empty or not set"},
	} {
		_, err := secretFrom(t, c.slack, func(string) string { return "" }).Read()
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\nerror is %v\nnot      %s", c.slack, err, c.want)
		}
	}
	if _, err := (Secret{}).Read(); err == nil || err.Error() != "read secret: none is configured" {
		t.Errorf("no secret: %v", err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := secretFrom(t, `{webhook: "${HOOK}"}`, func(string) string { return hook })
	if text, err := s.Read(); err != nil || text != hook {
		t.Fatalf("read: %q, %v", text, err)
	}
	const want = "[secret in variable HOOK]"
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	asJSON, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Dump(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string]string{
		"%v": fmt.Sprintf("%v", s), "%+v": fmt.Sprintf("%+v", Slack{Webhook: s}), "%#v": fmt.Sprintf("%#v", s), "%s": fmt.Sprintf("%s", s),
		"%q": fmt.Sprintf("%q", s), "slog": log.String(), "JSON": string(asJSON), "YAML": string(asYAML),
	} {
		if !strings.Contains(text, want) || strings.Contains(text, "s3cr3t") {
			t.Errorf("%s: %s", form, text)
		}
	}
}

func TestErrorsNeverRepeatWhatMayBeASecret(t *testing.T) {
	for _, text := range []string{
		"alerts: {slack: {webhook: " + hook + "}}",
		"alerts: {slack: {webhook_file: " + hook + "}}",
		"alerts: {slack: {webhook: '${HOOK}s3cr3t'}}",
		"alerts: {slack: {webhook: [" + hook + "]}}",
		"alerts: {slack: " + hook + "}",
		"alerts: {slack: {token: " + hook + "}}",
		"alerts: {slack: {webhook: \"s3cr3t\\n\"}}",
		"alerts: {slack: {webhook: !s3cr3t x}}",
		"alerts: {slack: {webhook: '${HOOK}', webhook_file: " + hook + "}}",
		"trust: [{tuf: 'https://user:s3cr3t@example.org'}]",
	} {
		_, err := Parse("monitor.yaml", []byte(text+"\n"+smallConfig), testOptions())
		if err == nil {
			t.Errorf("%s is accepted", text)
		} else if strings.Contains(err.Error(), "s3cr3t") && !strings.Contains(text, "!s3cr3t") {
			t.Errorf("%s\nis told: %v", text, err)
		}
	}
}
