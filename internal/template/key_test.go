package template

import (
	"strings"
	"testing"
)

func TestALabelHoldsNoValue(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"sql:accounts#Prt6Bo1Jd2J6Zl5h:s12:the secret": "sql:accounts#Prt6Bo1Jd2J6Zl5h",
		"sql:a#b#Prt6Bo1Jd2J6Zl5h:s3:x#y":              "sql:a#b#Prt6Bo1Jd2J6Zl5h",
	} {
		if got := Label(key); got != want {
			t.Errorf("label(%q) = %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"the secret", NotOfTemplate + "10:the secret:k", "sql:", "sql:the secret"} {
		if got := Label(key); strings.Contains(got, "secret") || !strings.HasPrefix(got, "own:") {
			t.Errorf("label(%q) = %q, want a sum", key, got)
		}
	}
}

func TestAKeyIsFoundInTheStoreByItsPublicName(t *testing.T) {
	t.Parallel()
	const own = "own:7:"
	for key, want := range map[string]string{
		"sql:accounts#Prt6Bo1Jd2J6Zl5h:i1;": "sql:accounts#Prt6Bo1Jd2J6Zl5h:i1;", "user:7": "own:7:user:7", "own:7:user": "own:7:own:7:user", "": own,
	} {
		if got := StoreKey(own, key); got != want || PublicKey(own, got) != key {
			t.Errorf("%q is at %q, which is known as %q; want it at %q", key, got, PublicKey(own, got), want)
		}
	}
}
