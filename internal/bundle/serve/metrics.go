package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/larder-build/larder/internal/bundle/goproxy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the values that /metrics shows, besides the process's own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec // by kind and status
	bytes    *prometheus.CounterVec // by kind
	inFlight prometheus.Gauge
	bundles  prometheus.Gauge
	versions prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "larder_requests_total", Help: "Requests answered, by what was asked for and HTTP status.",
		}, []string{"kind", "status"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "larder_sent_bytes_total", Help: "Bytes sent in bodies of answers, by what was asked for.",
		}, []string{"kind"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "larder_requests_in_flight", Help: "Requests being answered."}),
		bundles:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "larder_bundles", Help: "Bundles being served."}),
		versions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "larder_module_versions", Help: "Module versions with a zip in the bundles, each once."}),
	}
	m.registry.MustRegister(m.requests, m.bytes, m.inFlight, m.bundles, m.versions,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// count counts the requests and answers of a handler, tells of them, and cuts off clients that don't read them.
func (m *metrics) count(answered func(Answer), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Inc()
		kind := goproxy.Kind(r.URL.Path)
		counted := &countedWriter{ResponseWriter: w, control: http.NewResponseController(w)}
		defer func() { // the handler may panic to break off its answer
			a := Answer{r.URL.Path, max(counted.status, http.StatusOK), counted.size}
			m.inFlight.Dec()
			m.requests.WithLabelValues(kind, strconv.Itoa(a.Status)).Inc()
			m.bytes.WithLabelValues(kind).Add(float64(a.Bytes))
			if answered != nil {
				answered(a)
			}
		}()
		next.ServeHTTP(counted, r)
	})
}

// A countedWriter writes an answer piece by piece, as it comes. Each piece has its own deadline: a large module takes
// long over a slow line, but a client that reads nothing would hold its connection for ever.
type countedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int // 0 until the header is written
	size    int64
}

// WriteHeader implements http.ResponseWriter.
func (w *countedWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *countedWriter) Write(p []byte) (int, error) {
	w.status = max(w.status, http.StatusOK)
	_ = w.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	n, err := w.ResponseWriter.Write(p)
	w.size += int64(n)
	return n, err
}
