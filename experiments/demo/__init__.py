"""The demo: a page in the browser on which JDs search CVs, and which shows why. Ours.

`jdcv demo` starts it (`demo_server`). `app` is the page that Streamlit runs, and `*_page` are its
parts; only these import Streamlit. `desk` holds what one person works on: it is dropped at the
end of the session. Everything stands on `Retriever` and `Matcher`.
"""
