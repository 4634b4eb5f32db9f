# syntax=ghcr.io/larder-build/larder:1
FROM golang:1.26-alpine AS build
# A RUN sees build arguments that its stage declares.
ARG GOFIPS140
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /out/api ./api

FROM static
COPY --from=build /out/api /usr/local/bin/api
ENTRYPOINT ["api"]
