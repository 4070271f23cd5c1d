package audit

import (
	"bytes"
	"testing"
	"time"
)

// FuzzFolder reads the dossier and the manifest of a folder that a stranger made.
func FuzzFolder(f *testing.F) {
	folder := &Folder{MadeBy: "1", Policy: []byte("projects: []\n"), Explanation: []byte("{}"),
		Documents: map[string][]byte{digestOf([]byte("{}")): []byte("{}")}, Leaves: map[string]KeptLeaf{},
		Dossier: Dossier{Files: []ExplainedFile{{Index: "pypi", PyPIProject: "widget", File: "widget-1.0.tar.gz", SHA256: digestOf(nil), Listing: []byte(`{"filename":"x"}`), LastSeen: time.Unix(0, 0).UTC()}}}}
	files, err := folder.Files()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files[dossierName], files[manifestName])
	f.Add([]byte(`{"schema":"evidence/1","documents_sha256":["../../x"],"leaf_proofs":{"a":null}}`), []byte("0  ../x\n"))
	f.Fuzz(func(t *testing.T, dossier, manifest []byte) {
		given := map[string][]byte{}
		for name, body := range files {
			given[name] = body
		}
		given[dossierName], given[manifestName] = dossier, manifest
		if checkManifest(given) == nil && !bytes.Equal(manifest, files[manifestName]) && bytes.Equal(dossier, files[dossierName]) {
			// Another order of the lines, at most: it lists the same files.
			if len(manifest) != len(files[manifestName]) {
				t.Fatalf("a manifest of another length is taken: %q", manifest)
			}
		}
		read, err := folderOf(given)
		if err != nil {
			return
		}
		for sha := range read.Documents {
			if digestOf(read.Documents[sha]) != sha {
				t.Fatalf("a document is not what names it: %s", sha)
			}
		}
	})
}
