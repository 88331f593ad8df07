// Pins the custom resource definitions that ../up installs; only their YAML files
// are read. There is no Go code that imports these modules, so `go mod tidy` would
// empty this file: change a version with `go get` and then run `go mod download`.
module canary.invalid/ci/cluster/crds

go 1.24.0

require (
	istio.io/api v1.31.1
	sigs.k8s.io/gateway-api v1.4.0
)
