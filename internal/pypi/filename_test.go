package pypi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

func TestNormalizeIsPEP503(t *testing.T) {
	for name, want := range map[string]string{
		"onnx": "onnx", "onnx-weekly": "onnx-weekly", "Onnx_Weekly": "onnx-weekly", "Friendly-._.-bard": "friendly-bard",
		"FRIENDLY.BARD": "friendly-bard", "a": "a", "a__b": "a-b", "": "", "zope.interface": "zope-interface", "_x_": "-x-",
	} {
		if got := Normalize(name); got != want {
			t.Errorf("%q is normalised to %q, not %q", name, got, want)
		}
	}
}

func TestParseFilename(t *testing.T) {
	for name, want := range map[string]Filename{
		"onnx-1.22.0-cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl": {KindWheel, "onnx", "1.22.0", "",
			[]string{"cp312-abi3-manylinux_2_26_x86_64", "cp312-abi3-manylinux_2_28_x86_64"}},
		"Onnx_Weekly-1.23.0.dev20260511-py2.py3-none-any.whl": {KindWheel, "onnx-weekly", "1.23.0.dev20260511", "",
			[]string{"py2-none-any", "py3-none-any"}},
		"foo-1.0-007a_b-py3-none-any.whl":                          {KindWheel, "foo", "1.0", "7a_b", []string{"py3-none-any"}},
		"foo-1.0-00-PY3-None-ANY.whl":                              {KindWheel, "foo", "1.0", "0", []string{"py3-none-any"}},
		"foo-1!2.0+Local_01-py3.py3-none-any.whl":                  {KindWheel, "foo", "1!2.0+local.1", "", []string{"py3-none-any"}},
		"zope.interface-5.0-cp27-cp27mu-linux_x86_64.whl":          {KindWheel, "zope-interface", "5.0", "", []string{"cp27-cp27mu-linux_x86_64"}},
		"onnx-1.22.0.tar.gz":                                       {KindSdist, "onnx", "1.22.0", "", nil},
		"onnx_weekly-1.23.0.dev1.tar.gz":                           {KindSdist, "onnx-weekly", "1.23.0.dev1", "", nil},
		"onnx-weekly-1.0RC1.zip":                                   {KindSdist, "onnx-weekly", "1.0rc1", "", nil},
		"Sample.Project-v1.tar.gz":                                 {KindSdist, "sample-project", "1", "", nil},
		"foo-1.0.tar.bz2":                                          {KindOther, "foo", "1.0", "", nil},
		"foo-1.0.tgz":                                              {KindOther, "foo", "1.0", "", nil},
		"foo-1.0.tar.Z":                                            {KindOther, "foo", "1.0", "", nil},
		"foo.tar.xz":                                               {KindOther, "", "", "", nil},
		"setuptools-0.6c11-py2.7.egg":                              {KindOther, "setuptools", "0.6rc11", "", nil},
		"foo_bar-1.0_1-py2.7-win32.egg":                            {KindOther, "foo-bar", "1.0.post1", "", nil},
		"foo.egg":                                                  {KindOther, "", "", "", nil},
		"numpy-1.6.1.win32-py2.7.exe":                              {KindOther, "numpy", "1.6.1", "", nil},
		"numpy-1.6.1-win32-superpack-python2.7.exe":                {KindOther, "", "", "", nil},
		"cx_Oracle-5.1.win-amd64-py2.7.msi":                        {KindOther, "cx-oracle", "5.1", "", nil},
		"cx_Oracle-5.1.win32.msi":                                  {KindOther, "cx-oracle", "5.1", "", nil},
		"foo-1.0-1.noarch.rpm":                                     {KindOther, "", "", "", nil},
		"foo_1.0_all.deb":                                          {KindOther, "", "", "", nil},
		"abi3info-2024.10.3-py3-none-any.whl":                      {KindWheel, "abi3info", "2024.10.3", "", []string{"py3-none-any"}},
		"onnx-1.22.0-cp312-cp312-pyemscripten_2025_0_wasm32.whl":   {KindWheel, "onnx", "1.22.0", "", []string{"cp312-cp312-pyemscripten_2025_0_wasm32"}},
		"foo-1.0-py3-none-macosx_10_9_x86_64.macosx_11_0_any.whl":  {KindWheel, "foo", "1.0", "", []string{"py3-none-macosx_10_9_x86_64", "py3-none-macosx_11_0_any"}},
		"foo-1.0-cp39.cp310-abi3.none-linux_x86_64.manylinux1.whl": {KindWheel, "foo", "1.0", "", []string{"cp310-abi3-linux_x86_64", "cp310-abi3-manylinux1", "cp310-none-linux_x86_64", "cp310-none-manylinux1", "cp39-abi3-linux_x86_64", "cp39-abi3-manylinux1", "cp39-none-linux_x86_64", "cp39-none-manylinux1"}},
	} {
		got, err := ParseFilename(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseFilenameRefusesWhatPipRefuses(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("a.", 40), ".")
	for name, want := range map[string]string{
		"":                                    "it is no distribution file's",
		"README.md":                           "it is no distribution file's",
		"onnx-1.22.0.tar.gz.asc":              "it is no distribution file's",
		"onnx-1.22.0-py3-none-any.WHL":        "it is no distribution file's",
		"onnx-1.22.0-py3-none.whl":            "a wheel's name has 5 or 6 parts between hyphens, this one has 4",
		"onnx-1.22.0-1-2-py3-none-any.whl":    "a wheel's name has 5 or 6 parts between hyphens, this one has 7",
		"onnx__weekly-1.0-py3-none-any.whl":   `"onnx__weekly" is not a wheel's project name`,
		"_onnx-1.0-py3-none-any.whl":          `"_onnx" is not a wheel's project name`,
		"-1.0-py3-none-any.whl":               `"" is not a wheel's project name`,
		"оnnx-1.0-py3-none-any.whl":           `"оnnx" is not a wheel's project name`,
		"onnx-latest-py3-none-any.whl":        `version "latest": it is not a PEP 440 version`,
		"onnx-1.0 -py3-none-any.whl":          `version "1.0 ": it is not a PEP 440 version`,
		"onnx-1.0-x1-py3-none-any.whl":        `"x1" is not a build tag, which begins with a digit`,
		"onnx-1.0--py3-none-any.whl":          `"" is not a build tag, which begins with a digit`,
		"onnx-1.0-py3.-none-any.whl":          `"" is not a compatibility tag`,
		"onnx-1.0-py3-none-.whl":              `"" is not a compatibility tag`,
		"onnx-1.0-py3-none-a b.whl":           `"a b" is not a compatibility tag`,
		"a-1-" + many + "-" + many + "-a.whl": "its compatibility tags stand for more than 1000",
		"onnx.tar.gz":                         "a source distribution's name has a hyphen before the version",
		"-1.0.tar.gz":                         `"" is not a project name`,
		"on nx-1.0.tar.gz":                    `"on nx" is not a project name`,
		"../onnx-1.0.tar.gz":                  `"../onnx" is not a project name`,
		"onnx-.tar.gz":                        `version "": it is not a PEP 440 version`,
		"onnx-1.0.linux-x86_64.tar.gz":        `version "x86_64": it is not a PEP 440 version`,
		strings.Repeat("a", 600) + "-1.0.zip": "it has 608 bytes, more than 512",
	} {
		got, err := ParseFilename(name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v and error %v, not %q", name, got, err, want)
		}
	}
}

func TestSameDistributionComparesWhatNamesMean(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"Sample_Project-4.0-py3-none-any.whl", "sample_project-4.0-py3-none-any.whl", true},
		{"sample.project-4.0-py3-none-any.whl", "sample_project-4.0-py3-none-any.whl", true},
		{"sampleproject-4.0.0.tar.gz", "SampleProject-4.0.0.tar.gz", true},
		{"sample-project-4.0.tar.gz", "sample_project-4.0.tar.gz", true},
		{"foo-1.0rc1-py3-none-any.whl", "foo-1.0.RC.1-py3-none-any.whl", true},
		{"foo-1.0-py3-none-any.whl", "foo-1.0.0-py3-none-any.whl", true},
		{"foo-1.0-py2.py3-none-any.whl", "foo-1.0-py3.py2-none-any.whl", true},
		{"onnx-1.0-cp36-cp36m-manylinux_2_12_i686.manylinux2010_i686.whl", "onnx-1.0-cp36-cp36m-manylinux2010_i686.manylinux_2_12_i686.whl", true},
		{"foo-1.0-01-py3-none-any.whl", "foo-1.0-1-py3-none-any.whl", true},
		{"foo-1.0+a-1-py3-none-any.whl", "foo-1.0+a-1-py3-none-any.whl", true},
		{"foo-1.0.egg", "foo-1.0.egg", true},

		{"foo-1.0-py3-none-any.whl", "foo-1.1-py3-none-any.whl", false},
		{"foo-1.0-py3-none-any.whl", "bar-1.0-py3-none-any.whl", false},
		{"foo-1.0-py3-none-any.whl", "foo-1.0-py2.py3-none-any.whl", false},
		{"foo-1.0-py3-none-any.whl", "foo-1.0-1-py3-none-any.whl", false},
		{"foo-1.0-1a-py3-none-any.whl", "foo-1.0-1A-py3-none-any.whl", false},
		{"foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz", false},
		{"foo-1.0-py3-none-any.whl", "foo-1.0+local-py3-none-any.whl", false},
		{"foo-1.0.tar.gz", "foo-1.0rc1.tar.gz", false},
		{"foo-1.0.egg", "Foo-1.0.egg", false},
	} {
		for range 2 {
			got, err := SameDistribution(c.a, c.b)
			if err != nil || got != c.want {
				t.Errorf("%s and %s: %v, error %v", c.a, c.b, got, err)
			}
			c.a, c.b = c.b, c.a
		}
	}
	for _, pair := range [][2]string{{"x", "foo-1.0.tar.gz"}, {"foo-1.0.tar.gz", "x"}} {
		if same, err := SameDistribution(pair[0], pair[1]); err == nil || same {
			t.Errorf("%v: %v, error %v", pair, same, err)
		}
	}
}

func FuzzParseFilename(f *testing.F) {
	for _, name := range []string{
		"onnx-1.22.0-cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl", "onnx-1.22.0.tar.gz", "foo-1.0-007a_b-py3-none-any.whl",
		"numpy-1.6.1.win32-py2.7.exe", "foo_bar-1.0_1-py2.7-win32.egg", "foo-1.0-1.noarch.rpm", "foo-1.0.tar.bz2",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		parsed, err := ParseFilename(name)
		if err != nil {
			return
		}
		if same, err := SameDistribution(name, name); err != nil || !same {
			t.Errorf("%q is not the same as itself (%v)", name, err)
		}
		if parsed.Project != Normalize(parsed.Project) || (parsed.Project == "") != (parsed.Version == "") {
			t.Errorf("%q parses as %+v", name, parsed)
		}
		if parsed.Kind != KindOther && parsed.Version == "" || len(parsed.Tags) > maxTags || !slices.IsSorted(parsed.Tags) {
			t.Errorf("%q parses as %+v", name, parsed)
		}
	})
}

func TestEveryRealONNXFilenameParses(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(realdata.Dir(t), "5-pypi", "onnx_files.json"))
	if err != nil {
		t.Fatal(err)
	}
	var files []struct{ Project, Version, Filename string }
	if err := json.Unmarshal(body, &files); err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]int{}
	for _, f := range files {
		got, err := ParseFilename(f.Filename)
		if err != nil {
			t.Error(err)
			continue
		}
		kinds[got.Kind]++
		if got.Project != f.Project || got.Version != f.Version {
			t.Errorf("%s is of %s %s, not of %s %s", f.Filename, got.Project, got.Version, f.Project, f.Version)
		}
	}
	if diff := cmp.Diff(map[Kind]int{KindWheel: 467, KindSdist: 19}, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}
