//! What the mesh adapters of canary need from Kubernetes: client set-up, fenced weight patches, Gateway API routes.
