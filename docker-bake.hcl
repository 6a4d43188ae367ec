# The four images: `docker buildx bake`, or one of them: `docker buildx bake zimage`.
#
#   VERSION=1.2.3 REGISTRY=ghcr.io/you docker buildx bake --push
#   WEIGHTS=embedded docker buildx bake                 # a laptop's images, without the hub's weights
#   docker buildx bake --set '*.args.BASE_IMAGE=…'      # on another base

variable "REGISTRY" {
  default = ""
}

variable "VERSION" {
  default = "dev"
}

variable "REVISION" {
  default = "unknown"
}

variable "WEIGHTS" {
  default = "full"
}

group "default" {
  targets = ["orchestrator", "selfie", "zimage", "llm"]
}

target "image" {
  context   = "."
  platforms = ["linux/amd64"]
  args = {
    VERSION  = VERSION
    REVISION = REVISION
    WEIGHTS  = WEIGHTS
  }
  # Read from HF_TOKEN, for repositories that need a token; no layer contains it.
  secret = ["type=env,id=hf_token,env=HF_TOKEN"]
}

target "orchestrator" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.orchestrator"
  tags       = [REGISTRY == "" ? "img-pod-orchestrator:${VERSION}" : "${REGISTRY}/img-pod-orchestrator:${VERSION}"]
}

target "selfie" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.selfie"
  tags       = [REGISTRY == "" ? "img-pod-selfie:${VERSION}" : "${REGISTRY}/img-pod-selfie:${VERSION}"]
}

target "zimage" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.zimage"
  tags       = [REGISTRY == "" ? "img-pod-zimage:${VERSION}" : "${REGISTRY}/img-pod-zimage:${VERSION}"]
}

target "llm" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.llm"
  tags       = [REGISTRY == "" ? "img-pod-llm:${VERSION}" : "${REGISTRY}/img-pod-llm:${VERSION}"]
}
