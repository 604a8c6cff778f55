/* Asks axe-core, which is in this window, about the document that the window shows. tests/chromium.py runs it.

Whether a text has enough contrast takes axe longer than all else. It depends on the text's own looks and those of the
boxes around it, which is a chain of LOOKS from <html> down. So a text whose chain axe has passed before, in whichever
document, is not judged for contrast again. That holds only where boxes lie within each other: a box that is placed
elsewhere, and whatever is in it, is judged each time. */
"use strict";
(() => {
    const LOOKS = [
        "color", "backgroundColor", "backgroundImage", "opacity", "fontSize", "fontWeight", "textShadow", "filter",
        "mixBlendMode", "visibility",
    ];
    const CONTRAST = "color-contrast";
    const CONTROLS = "button, select, textarea, input:not([type=hidden], [type=checkbox], [type=radio])";

    const numbers = new Map(); // of chains: the number of the parent's chain and the own looks, as text
    const passed = new Set(); // the numbers of chains with enough contrast

    const isMoved = (style) => style.position === "relative" && !["auto", "0px"].includes(style.inset);
    const isApart = (style) =>
        !["static", "relative"].includes(style.position) || isMoved(style) || style.float !== "none" ||
        style.transform !== "none" || style.margin.includes("-");

    const hasText = (element) =>
        element.checkVisibility() &&
        (element.matches(CONTROLS) ||
            [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));

    /** The number of an element's chain, which `found` remembers. An element that is placed apart has one of its own. */
    function chainOf(element, found) {
        if (!element) return 0;
        if (!found.has(element)) {
            const style = getComputedStyle(element);
            const looks = [chainOf(element.parentElement, found), ...LOOKS.map((name) => style[name])].join();
            const chain = isApart(style) ? Symbol("apart") : looks;
            if (!numbers.has(chain)) numbers.set(chain, numbers.size + 1);
            found.set(element, numbers.get(chain));
        }
        return found.get(element);
    }

    /** What axe finds, with texts of known looks left out of the rule about contrast. */
    async function asked(options) {
        const found = new Map();
        document.querySelectorAll("[data-unknown]").forEach((each) => each.removeAttribute("data-unknown"));
        const unknown = [...document.querySelectorAll("*")].filter(
            (each) => hasText(each) && !passed.has(chainOf(each, found)),
        );
        unknown.forEach((each) => each.toggleAttribute("data-unknown", true));
        if (!unknown.length && options.runOnly?.includes(CONTRAST)) return [];
        axe.configure({rules: [{id: CONTRAST, selector: "[data-unknown]"}]});
        const rules = await axe.run(document, {...options, reporter: (raw, _, done) => done(raw)});
        for (const node of rules.find((rule) => rule.id === CONTRAST)?.passes ?? [])
            passed.add(found.get(node.node.element));
        return rules;
    }

    /** How far the document scrolls to the left and to the right, in px. One from right to left scrolls to the left. */
    function scrolled() {
        const root = document.scrollingElement;
        const sides = [-5000, 5000].map((to) => {
            root.scrollLeft = to;
            return root.scrollLeft;
        });
        root.scrollLeft = 0;
        return sides;
    }

    /** How many rules are kept, by rule that is not kept the HTML of elements, and how wide the document is in px. */
    window.judge = async (options) => {
        const rules = await asked(options);
        const html = ({node}) => node.source.replaceAll(' data-unknown=""', "");
        return {
            kept: rules.filter((rule) => rule.passes.length).length,
            broken: rules.filter((rule) => rule.violations.length).map((rule) => [rule.id, rule.violations.map(html)]),
            width: document.documentElement.scrollWidth,
            scrolled: scrolled(),
        };
    };
})();
