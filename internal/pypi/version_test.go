package pypi

import (
	"strings"
	"testing"

	pep440 "github.com/aquasecurity/go-pep440-version"
)

func TestVersionsAreNormalisedAsPEP440Says(t *testing.T) {
	for text, want := range map[string]string{
		"1.1RC1": "1.1rc1", "00": "0", "09000": "9000", "1.0+foo0100": "1.0+foo0100", "01.02": "1.2",
		"1.1.a1": "1.1a1", "1.1-a1": "1.1a1", "1.1_a1": "1.1a1", "1.1a.1": "1.1a1", "1.1a-1": "1.1a1", "1.1a_1": "1.1a1",
		"1.1alpha1": "1.1a1", "1.1beta2": "1.1b2", "1.1c3": "1.1rc3", "1.1pre3": "1.1rc3", "1.1preview3": "1.1rc3", "1.2a": "1.2a0",
		"1.2-post2": "1.2.post2", "1.2post2": "1.2.post2", "1.2_post2": "1.2.post2", "1.2.post-2": "1.2.post2", "1.2.post_2": "1.2.post2",
		"1.0-r4": "1.0.post4", "1.0.rev4": "1.0.post4", "1.2.post": "1.2.post0", "1.0-1": "1.0.post1",
		"1.2-dev2": "1.2.dev2", "1.2dev2": "1.2.dev2", "1.2_dev2": "1.2.dev2", "1.2.dev": "1.2.dev0",
		"1.0+ubuntu-1": "1.0+ubuntu.1", "1.0+Ubuntu_1": "1.0+ubuntu.1", "1.0+01.00a.000": "1.0+1.00a.0",
		"v1.0": "1.0", "V1.0": "1.0", "1!1.0": "1!1.0", "0!1.0": "1.0", "1.0.0": "1.0.0", "1.0a1.post2.dev3+x.4": "1.0a1.post2.dev3+x.4",
		"1.22.0.dev20260511": "1.22.0.dev20260511", "18446744073709551615": "18446744073709551615",
	} {
		v, err := ParseVersion(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := v.String(); got != want {
			t.Errorf("%q is normalised to %q, not %q", text, got, want)
		}
	}
}

func TestVersionRefusesWhatPEP440Refuses(t *testing.T) {
	for _, text := range []string{
		"", "french toast", "1.0+a+", "1.0++", "1.0+_foobar", "1.0+foo&asd", "1.0+1+1", "1.0-", "1..0", ".1", "1.", "1.0.x", "1.0-abc1",
		"latest", "1.0post1.post2", "1.0 ", " 1.0", "1.0\n", "1.0\x00", "1.0poſt1", "1.0+ſ", "１.0", "1.0+\u212a", "-1", "1!", "1.0a1a2", "1.0+",
		"1.0+a..b", strings.Repeat("1.", 200) + "1",
	} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q parses as %s", text, v)
		}
	}
	for _, text := range []string{"18446744073709551616", "1.0.dev99999999999999999999", "1.0+99999999999999999999"} {
		if _, err := ParseVersion(text); err == nil || !strings.Contains(err.Error(), "64 bits") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// The order is that of the test suite of Python's packaging library, as PEP 440 defines it.
func TestVersionsAreOrderedAsPEP440Says(t *testing.T) {
	order := []string{
		"1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345",
		"1.0b2-346", "1.0c1.dev456", "1.0c1", "1.0rc2", "1.0c3", "1.0", "1.0.post456.dev34", "1.0.post456", "1.1.dev1",
		"1.2+123abc", "1.2+123abc456", "1.2+abc", "1.2+abc123", "1.2+abc123def", "1.2+1234.abc", "1.2+123456", "1.2.r32+123456", "1.2.rev33+123456",
		"1.10", "1!1.0.dev456", "1!1.0",
	}
	for i, a := range order {
		for j, b := range order {
			v, err := ParseVersion(a)
			if err != nil {
				t.Fatal(err)
			}
			w, err := ParseVersion(b)
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := v.Compare(w); got != want {
				t.Errorf("%s against %s is %d, not %d", a, b, got, want)
			}
		}
	}
	for _, pair := range [][2]string{{"1", "1.0.0.0"}, {"1.0", "v1"}, {"1.0+a.1", "1+A-01"}, {"1.0a", "1a0"}, {"0!1", "1"}, {"1.0.post0", "1-0"}} {
		v, errV := ParseVersion(pair[0])
		w, errW := ParseVersion(pair[1])
		if errV != nil || errW != nil || v.Compare(w) != 0 || w.Compare(v) != 0 {
			t.Errorf("%v are not equal (%v, %v)", pair, errV, errW)
		}
	}
}

func TestBaseVersionIsEpochAndRelease(t *testing.T) {
	for text, want := range map[string]string{
		"1.22.0": "1.22.0", "1.22.0rc1": "1.22.0", "1.23.0.dev20260511": "1.23.0", "1.22.0.post1": "1.22.0", "1.22": "1.22",
		"2!1.0a1+local": "2!1.0", "01.020.0": "1.20.0",
	} {
		v, err := ParseVersion(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Base(); got != want {
			t.Errorf("base of %q is %q, not %q", text, got, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, text := range []string{"1.22.0rc1", "1!1.0a1.post2.dev3+x.4", "1.0+ubuntu-01", "v1.0-r4", "1.0poſt1", "1.0+\u212a"} {
		f.Add(text, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := ParseVersion(a)
		if err != nil {
			return
		}
		again, err := ParseVersion(v.String())
		if err != nil || again.String() != v.String() || again.Compare(v) != 0 {
			t.Errorf("%q is normalised to %q, which is not its own normal form (%v)", a, v, err)
		}
		// Where there is no local part the library needs no help.
		if !strings.Contains(a, "+") {
			if want, err := pep440.Parse(a); err != nil || want.String() != v.String() {
				t.Errorf("%q is %q, in the library %q (%v)", a, v, want, err)
			}
		}
		if w, err := ParseVersion(b); err == nil && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q: %d and %d", a, b, v.Compare(w), w.Compare(v))
		}
	})
}
