//! `/openapi.json` and `/docs`.

mod show;
