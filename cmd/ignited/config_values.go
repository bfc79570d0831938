package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The types below write a field of Config as text and read it back (pflag.Value). An error of Set says only what is
// allowed; the caller adds which setting it was and what was given.

type textValue string

func (v *textValue) Set(text string) error { *v = textValue(text); return nil }
func (v *textValue) String() string        { return string(*v) }
func (v *textValue) Type() string          { return "text" }

// listValue is separated by commas.
type listValue []string

func (v *listValue) Set(text string) error {
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	*v = slices.DeleteFunc(items, func(item string) bool { return item == "" })
	return nil
}
func (v *listValue) String() string { return strings.Join(*v, ",") }
func (v *listValue) Type() string   { return "list" }

type countValue int

func (v *countValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("a whole number")
	}
	*v = countValue(n)
	return nil
}
func (v *countValue) String() string { return strconv.Itoa(int(*v)) }
func (v *countValue) Type() string   { return "number" }

type levelValue slog.Level

func (v *levelValue) Set(text string) error {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, level.String()) {
			*v = levelValue(level)
			return nil
		}
	}
	return errors.New("debug, info, warn or error")
}
func (v *levelValue) String() string { return strings.ToLower(slog.Level(*v).String()) }
func (v *levelValue) Type() string   { return "level" }

// byteUnits go from large to small, so that the first that divides a size evenly is the shortest way to write it.
// Decimal units are left out: who writes MB cannot be told from who means MiB.
var byteUnits = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

type bytesValue int64

func (v *bytesValue) Set(text string) error {
	digits := strings.TrimRight(text, "TGMKiBtgmkb ")
	n, err := strconv.ParseInt(digits, 10, 64)
	name := strings.TrimSpace(text[len(digits):])
	for _, unit := range byteUnits {
		if err == nil && strings.EqualFold(name, unit.name) && n >= 0 && n <= math.MaxInt64/unit.size {
			*v = bytesValue(n * unit.size)
			return nil
		}
	}
	return errors.New("bytes, as a whole number or with KiB, MiB, GiB or TiB behind it (64MiB)")
}

func (v *bytesValue) String() string {
	for _, unit := range byteUnits {
		if n := int64(*v); n != 0 && n%unit.size == 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	return "0"
}
func (v *bytesValue) Type() string { return "bytes" }

type durationValue time.Duration

func (v *durationValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("a number with its unit, such as 90s, 30m or 72h")
	}
	*v = durationValue(d)
	return nil
}

// String leaves out the zeros that time.Duration writes behind hours and minutes.
func (v *durationValue) String() string {
	text := time.Duration(*v).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
func (v *durationValue) Type() string { return "duration" }

// secondsValue is a number of seconds, as its setting's name says; a number with a unit is taken too.
type secondsValue time.Duration

func (v *secondsValue) Set(text string) error {
	const most = math.MaxInt64 / int64(time.Second)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= -most && n <= most {
		*v = secondsValue(time.Duration(n) * time.Second)
		return nil
	}
	if (*durationValue)(v).Set(text) != nil {
		return errors.New("a number of seconds, or a number with its unit, such as 90s or 10m")
	}
	return nil
}

func (v *secondsValue) String() string {
	if d := time.Duration(*v); d%time.Second == 0 {
		return fmt.Sprint(int64(d / time.Second))
	}
	return (*durationValue)(v).String()
}
func (v *secondsValue) Type() string { return "seconds" }

// given is a flag's text as it was typed. A flag is checked together with all other settings and not while the command line
// is parsed, so that all faults are told at once.
type given struct{ text, kind string }

func (g *given) Set(text string) error { g.text = text; return nil }
func (g *given) String() string        { return g.text }
func (g *given) Type() string          { return g.kind }
