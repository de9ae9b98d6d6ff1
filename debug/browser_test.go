package debug_test

import (
	"context"
	"flag"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/debug"
)

var shots = flag.String("debug.shots", "", "keep the screenshots of the page in this directory")

// browser returns the path of a Chromium, or skips the test.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium: the page is not looked at in a browser")
	return ""
}

// TestThePageInABrowser: it is shown under its own policy, without a script, and whatever names
// there are.
func TestThePageInABrowser(t *testing.T) {
	chromium := browser(t)
	full, hostile := "full", "hostile"
	for _, c := range []struct {
		name, size string
	}{{full, "1280,1800"}, {"empty", "1280,900"}, {hostile, "1280,1400"}, {"phone", "500,1800"}} {
		t.Run(c.name, func(t *testing.T) {
			db, p := open(t)
			switch c.name {
			case full, "phone":
				use(t, db)
			case hostile:
				useHostile(t, db)
			default:
				p = preload.New()
			}
			server := httptest.NewServer(debug.NewHandler(p, debug.WithActions(func(*http.Request) bool { return true })))
			defer server.Close()
			dir := t.TempDir()
			run := func(args ...string) (out, log string) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, chromium, append([]string{
					"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
					"--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--hide-scrollbars", "--user-data-dir=" + dir, "--window-size=" + c.size,
				}, append(args, server.URL)...)...)
				var o, e strings.Builder
				cmd.Stdout, cmd.Stderr = &o, &e
				if err := cmd.Run(); err != nil {
					t.Fatalf("%v\n%s", err, e.String())
				}
				return o.String(), e.String()
			}
			dom, log := run("--dump-dom")
			if strings.Contains(log, "Content Security Policy") || strings.Contains(log, "Refused to") {
				t.Errorf("the browser refuses a part of the page:\n%s", log)
			}
			if strings.Contains(dom, "<script") || strings.Contains(dom, "<title>owned") || strings.Contains(dom, "onload=\"") || !strings.Contains(dom, "</main>") {
				t.Errorf("the page in the browser:\n%s", dom)
			}
			shot := filepath.Join(dir, "shot.png")
			if *shots != "" {
				shot = filepath.Join(*shots, c.name+".png")
			}
			run("--screenshot=" + shot)
			file, err := os.Open(shot)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			picture, err := png.Decode(file)
			if err != nil {
				t.Fatal(err)
			}
			colours := map[any]bool{}
			for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x += 3 {
				for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y += 3 {
					colours[picture.At(x, y)] = true
				}
			}
			if len(colours) < 10 {
				t.Errorf("%d colours are shown: nothing is on the page", len(colours))
			}
		})
	}
}
