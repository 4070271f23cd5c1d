package trust

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

// TestRealTrustedRoots loads every trusted_root.json that the collection has. Two are broken.
func TestRealTrustedRoots(t *testing.T) {
	refused := map[string]string{
		"test__assets__trusted_root__trustedroot.badtype.json": "media type",
		// Published for a day in August 2025.
		"2025-08-12_8f89c913_trusted_root.json": `invalid google.protobuf.Timestamp value "2025-09-04:00:00Z"`,
	}
	var found int
	for _, pattern := range []string{"*/*trusted_root.json", "*/*trusted_root_with*.json", "*/*trustedroot.*.json", "sigstore-go/testing-*.json"} {
		paths, err := filepath.Glob(filepath.Join(realdata.Dir(t), "1-trust", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found++
			r, err := loadFile(path)
			want := refused[filepath.Base(path)]
			switch {
			case want == "" && err != nil:
				t.Error(err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%s: error %v does not say %q", path, err, want)
			case err == nil && len(r.SHA256) != 64:
				t.Errorf("%s: digest %q", path, r.SHA256)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d trusted roots found", found)
	}
}

// TestBuiltInRootIsOfTheRealChain: the bootstrap that sigstore-go ships belongs to the chain of the public
// instance, so that a client with only it can walk to today's root.
func TestBuiltInRootIsOfTheRealChain(t *testing.T) {
	dir := filepath.Join(realdata.Dir(t), "1-trust", "root-signing")
	raw, err := os.ReadFile(filepath.Join(dir, "metadata__root.json"))
	if err != nil {
		t.Fatal(err)
	}
	newest, err := metadata.Root().FromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	builtIn, err := metadata.Root().FromBytes(tuf.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	if builtIn.Signed.Version < 1 || builtIn.Signed.Version > newest.Signed.Version {
		t.Fatalf("built-in root has version %d, newest known is %d", builtIn.Signed.Version, newest.Signed.Version)
	}
	if err := builtIn.VerifyDelegate(metadata.TIMESTAMP, mustTimestamp(t, dir)); err != nil {
		t.Errorf("built-in root does not verify the real timestamp metadata: %v", err)
	}
}

func mustTimestamp(t *testing.T, dir string) *metadata.Metadata[metadata.TimestampType] {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "metadata__timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	ts, err := metadata.Timestamp().FromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}
