package gateway

import (
	"net/netip"
	"strings"

	"dodil.io/ignite/store"
)

// portsOf are the ports that an app declares; one that declares none has the default.
func portsOf(ports []uint32) []uint32 {
	if len(ports) == 0 {
		return []uint32{store.DefaultPort}
	}
	return ports
}

// hostLabels are the labels to claim for an app, one for each port. One that is longer than DNS allows is empty: the app has no
// URL for that port and is reached by Invoke and InvokeAsync.
func hostLabels(ref store.AppRef, ports []uint32) []string {
	var labels []string
	for _, port := range portsOf(ports) {
		label, ok := store.HostLabel(ref, port)
		if !ok {
			label = ""
		}
		labels = append(labels, label)
	}
	return labels
}

// publicURLs are where an app answers, in the order of ports.
func (s *service) publicURLs(ref store.AppRef, ports []uint32) []string {
	var urls []string
	for _, label := range hostLabels(ref, ports) {
		if label != "" {
			urls = append(urls, s.cfg.PublicScheme+"://"+label+"."+s.cfg.BaseDomain+s.publicPort)
		}
	}
	return urls
}

// hostLabel answers the label that host, as a Host header has it, puts before the base domain; not ok for every other host.
func hostLabel(host, baseDomain string) (label string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(hostName(host), "."))
	label, ok = strings.CutSuffix(host, "."+baseDomain)
	return label, ok && label != ""
}

// hostName is host without its port. An IP address is no name.
func hostName(host string) string {
	name, port, found := strings.Cut(host, ":")
	if _, err := netip.ParseAddr(name); err == nil || strings.ContainsAny(port, ":]") {
		return ""
	}
	if found && strings.Trim(port, "0123456789") != "" {
		return ""
	}
	return name
}
